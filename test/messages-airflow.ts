// The same messages as an unmodified Python task sends them: Airflow's own Task SDK is the other end of the channel, its models
// write the requests and read the replies.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type AirflowPython, airflow32, airflow33, isThere, missing } from './helpers/airflow.js';
import { ApiServer } from './helpers/api-server.js';
import { cases, Scene, seed } from './helpers/messages.js';
import { where } from './helpers/where.js';

const messages = suite('messages-airflow');

interface Said { readonly reply?: Record<string, unknown> | null; readonly model?: string; readonly unknown?: boolean; readonly raised?: string; readonly text?: string; readonly value?: unknown }

const firstDescriptor = 3;

/** Has a Python task send the messages, each over its scene's channel. */
async function python3({ python }: AirflowPython, scenes: readonly Scene[], asked: readonly (readonly [scene: Scene, message: Record<string, unknown>])[]): Promise<{ said: Said[]; types: string[] }> {
  const wanted = JSON.stringify(asked.map(([scene, message]) => [firstDescriptor + scenes.indexOf(scene), message]));
  // Airflow writes its configuration there as soon as it is imported.
  const home = mkdtempSync(join(tmpdir(), 'sallyport-airflow-'));
  try {
    const child = spawn(python, [fileURLToPath(new URL('fixtures/airflow_task.py', import.meta.url)), wanted], {
      stdio: ['ignore', 'pipe', 'pipe', ...scenes.map(({ far }) => far)],
      env: { PATH: process.env['PATH'], HOME: home, AIRFLOW_HOME: home, AIRFLOW__CORE__LOAD_EXAMPLES: 'False' },
      timeout: 120_000,
    });
    for (const { far } of scenes) far.destroy();
    const [out, errors] = await Promise.all([text(child.stdout as Readable), text(child.stderr as Readable), once(child, 'exit')]);
    const lines = out.split('\n').filter((line) => line.startsWith('{') || line.startsWith('['));
    assert.is(lines.length, asked.length + 1, errors);
    return { said: lines.slice(0, -1).map((line) => JSON.parse(line) as Said), types: JSON.parse(lines.at(-1) ?? '[]') as string[] };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

const finals = ['SucceedTask', 'RetryTask', 'TaskState', 'DeferTask', 'AwaitInputTask', 'RescheduleTask'];
/** Of later versions than 3.2. */
const later = [...cases.map(({ type }) => type).filter((type) => type.includes('StateStore')), 'AwaitInputTask', 'GetAssetsByAlias', 'GetVariableKeys', 'GetXComCount'].sort();
/** Which messages a version does not know, and what a model is called where that is not what the wire says. */
const versions = [
  { airflow: airflow32, unknown: later, models: { XComLengthResponse: 'XComCountResponse' } },
  { airflow: airflow33, unknown: ['GetNumberXComs'], models: {} },
] as const satisfies readonly { readonly airflow: AirflowPython; readonly unknown: readonly string[]; readonly models: Readonly<Record<string, string>> }[];
/** What Airflow adds, in a value that is otherwise the one of the case. */
const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

for (const { airflow, unknown: notKnown, models } of versions) {
  const withAirflow = where(messages, isThere(airflow), ...missing(airflow));
  const counting = airflow === airflow32 ? 'GetNumberXComs' : 'GetXComCount';

  withAirflow(`Airflow ${airflow.version}: each message is understood, and each reply is one that its models read`, async () => {
    await using server = await ApiServer.start({ authorization: 'airflow' }, seed);
    const scenes: Scene[] = [];
    try {
      const shared = await Scene.start(server, { grants: 'airflow' });
      scenes.push(shared);
      const asked: (readonly [Scene, Record<string, unknown>])[] = [];
      for (const { type, ask, given } of cases) {
        const scene = finals.includes(type) ? await Scene.start(server, { grants: 'airflow' }) : shared;
        if (scene !== shared) scenes.push(scene);
        await given?.(scene);
        const message = ask(scene);
        // Its models want an end_date of all that end, and a date of their own where ours is one of msgpack's.
        asked.push([scene, { type, ...(json(message) as object) }]);
      }
      const { said, types } = await python3(airflow, scenes, asked);
      const at = (type: string): Said => said[cases.findIndex((each) => each.type === type)] as Said;
      assert.equal(cases.filter(({ type }) => at(type).unknown).map(({ type }) => type).sort(), [...notKnown]);
      for (const { type, answer } of cases) {
        const { reply, model, unknown, raised, text: why } = at(type);
        if (unknown === true) continue;
        if (type === 'GetHITLDetailResponse') {
          assert.is(raised, 'ValidationError', why); // a reply that only triggers know in this version
          continue;
        }
        assert.is(raised, undefined, `${type}: ${why}`);
        const expected = typeof answer === 'function' ? undefined : (answer as { readonly type: string } | null);
        if (expected === null) assert.is(reply, null, type);
        else if (expected !== undefined) assert.is(model, (models as Readonly<Record<string, string>>)[expected.type] ?? expected.type, type);
      }
      assert.equal(at('GetVariable').reply, { key: 'colour', value: 'green', type: 'VariableResult' });
      assert.equal(at(counting).reply, { len: 1, type: counting === 'GetXComCount' ? 'XComCountResponse' : 'XComLengthResponse' });
      assert.equal(at('GetConnection').reply?.['password'], 'hunter3-hunter3');
      assert.is((at('GetPreviousDagRun').reply?.['dag_run'] as Record<string, unknown>)['run_id'], 'earlier');
      // What was reported is what the models said.
      for (const [type, state] of [['SucceedTask', 'success'], ['RetryTask', 'up_for_retry'], ['DeferTask', 'deferred'], ['AwaitInputTask', airflow === airflow32 ? 'running' : 'awaiting_input'], ['RescheduleTask', 'up_for_reschedule'], ['TaskState', 'running']] as const) {
        const { self } = asked[cases.findIndex((each) => each.type === type)]?.[0] as Scene;
        const { task_states } = await shared.api.getTaskStates({ dag_id: self.dag_id, run_ids: [self.run_id], task_ids: [self.task_id] });
        assert.is(task_states[self.run_id]?.[self.task_id], state, type);
      }
      // No message of that version is left out but these two.
      const ours = new Set(cases.map(({ type }) => type));
      assert.equal(types.filter((type) => !ours.has(type)), ['ResendLoggingFD', 'UpdateHITLDetail']);
    } finally {
      for (const scene of scenes) await scene[Symbol.asyncDispose]();
    }
  });

  withAirflow(`Airflow ${airflow.version}: a denial keeps its child from looking for it elsewhere`, async () => {
    await using server = await ApiServer.start({ authorization: 'airflow' }, seed);
    await using scene = await Scene.start(server, { declares: { variables: ['colour', 'absent'], connections: ['db'] } });
    const backend = (what: object): readonly [Scene, Record<string, unknown>] => [scene, { type: 'backend', ...what }];
    const { said } = await python3(airflow, [scene], [backend({ key: 'colour' }), backend({ conn_id: 'db' }), backend({ key: 'absent' }), backend({ key: 'mine' }), backend({ conn_id: 'other' }), [scene, { type: 'PutVariable', key: 'colour', value: 'red', description: null }]]);
    assert.equal(said.map(({ value, raised }) => raised ?? value), ['green', 'hunter3-hunter3', null, 'AirflowSecretsBackendAccessDenied', 'AirflowSecretsBackendAccessDenied', 'AirflowRuntimeError']);
  });
}

messages.run();
