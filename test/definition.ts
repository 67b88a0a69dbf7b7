import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DagInvalid } from '../lib/errors.js';
import { dag } from '../lib/sdk/dag/index.js';
import { serialize } from '../lib/definition/dag.js';

const definition = suite('definition');
const nothing = { variables: [], writableVariables: [], connections: [], xcoms: [], outlets: [], assets: [], assetStates: [], dags: [], triggers: [], skips: [], defers: [] };
const tasks = { a: { file: 'a.mjs' } };

definition('what is left out is what Airflow has', () => {
  const made = dag({ dag_id: 'd', tasks });
  assert.equal(JSON.parse(JSON.stringify(made)), {
    format: 'sallyport/1', dag_id: 'd', schedule: { type: 'none' }, start_date: null, end_date: null, catchup: false, max_active_runs: 16, max_active_tasks: 16,
    description: null, owner: null, tags: [], params: {},
    tasks: [{
      task_id: 'a', file: 'a.mjs', upstream_task_ids: [], downstream_task_ids: [], declares: nothing, inlets: [], outlets: [], retries: 0,
      retry_delay_seconds: 300, execution_timeout_seconds: null, trigger_rule: 'all_success', pool: 'default_pool', pool_slots: 1, priority_weight: 1, queue: 'default', description: null,
    }],
  });
  assert.ok(Object.isFrozen(made));
});

const schedules: readonly [unknown, unknown][] = [
  [null, { type: 'none' }],
  ['@hourly', { type: 'cron', expression: '@hourly' }],
  [' */5  0-6,12 1,15 JAN-mar MON ', { type: 'cron', expression: '*/5 0-6,12 1,15 JAN-mar MON' }],
  [{ every_seconds: 900 }, { type: 'delta', seconds: 900 }],
  [{ assets: ['a', { name: 'b', uri: 's3://b' }] }, { type: 'assets', assets: [{ name: 'a', uri: 'a' }, { name: 'b', uri: 's3://b' }] }],
];
definition('a schedule is cron, a time between, assets, or none', () => {
  for (const [given, expected] of schedules) assert.equal(serialize({ dag_id: 'd', tasks, schedule: given }).schedule, expected);
});

const wrong: readonly [path: string, declaration: unknown][] = [
  ['', null], ['', []], ['', 7],
  ['dag_id', {}], ['dag_id', { dag_id: 'a b' }], ['dag_id', { dag_id: '../x' }], ['dag_id', { dag_id: 'x'.repeat(251) }], ['dag_id', { dag_id: 'a\u001b[31m' }],
  ['tsaks', { dag_id: 'd', tsaks: {} }],
  ['tasks', { dag_id: 'd' }], ['tasks', { dag_id: 'd', tasks: {} }], ['tasks', { dag_id: 'd', tasks: [] }],
  ['tasks.a', { dag_id: 'd', tasks: { a: null } }],
  ['tasks.a.file', { dag_id: 'd', tasks: { a: {} } }],
  ...['/etc/passwd', '../x', 'a/../../x', './', 'a\0b'].map((file): [string, unknown] => ['tasks.a.file', { dag_id: 'd', tasks: { a: { file } } }]),
  ['tasks.a.retires', { dag_id: 'd', tasks: { a: { file: 'a', retires: 1 } } }],
  ['tasks.a.retries', { dag_id: 'd', tasks: { a: { file: 'a', retries: -1 } } }],
  ['tasks.a.trigger_rule', { dag_id: 'd', tasks: { a: { file: 'a', trigger_rule: 'sometimes' } } }],
  ['tasks.a.after[0]', { dag_id: 'd', tasks: { a: { file: 'a', after: ['b'] } } }],
  ['tasks.b.after[1]', { dag_id: 'd', tasks: { ...tasks, b: { file: 'b', after: ['a', 'a'] } } }],
  ['tasks', { dag_id: 'd', tasks: { a: { file: 'a', after: ['a'] } } }],
  ['tasks', { dag_id: 'd', tasks: { a: { file: 'a', after: ['c'] }, b: { file: 'b', after: ['a'] }, c: { file: 'c', after: ['b'] } } }],
  ['tasks.a.declares.xcoms[0]', { dag_id: 'd', tasks: { a: { file: 'a', declares: { xcoms: ['only_a_task'] } } } }],
  ['tasks.a.declares.secrets', { dag_id: 'd', tasks: { a: { file: 'a', declares: { secrets: [] } } } }],
  ['default_args.file', { dag_id: 'd', tasks, default_args: { file: 'x' } }],
  ['default_args.declares', { dag_id: 'd', tasks: Object.fromEntries(Array.from({ length: 4000 }, (_, index) => [`t${index}`, { file: 'a' }])), default_args: { declares: { variables: Array.from({ length: 1000 }, (_, index) => `variable-${index}`) } } }],
  ['params.a', { dag_id: 'd', tasks, params: { a: NaN } }], ['params.a.b[0]', { dag_id: 'd', tasks, params: { a: { b: [() => 1] } } }],
  ['start_date', { dag_id: 'd', tasks, start_date: '2026-01-01' }], ['start_date', { dag_id: 'd', tasks, start_date: new Date('no') }],
  ['end_date', { dag_id: 'd', tasks, start_date: '2026-01-02T00:00:00Z', end_date: '2026-01-01T00:00:00Z' }],
  ...['* * * *', '60 * * * *', '* * 0 * *', '5-1 * * * *', '*/0 * * * *', '1- * * * *', '-1 * * * *', '* * * foo *', '@often', '1-2-3 * * * *', ', * * * *', ''].map((schedule): [string, unknown] => ['schedule', { dag_id: 'd', tasks, schedule }]),
  ['schedule', { dag_id: 'd', tasks, schedule: {} }], ['schedule.assets', { dag_id: 'd', tasks, schedule: { assets: [] } }],
];
for (const [index, [path, declaration]] of wrong.entries()) {
  definition(`a wrong declaration is refused at ${path === '' ? 'its top' : path} (${index})`, () => {
    try {
      serialize(declaration);
      assert.unreachable();
    } catch (error) {
      assert.ok(error instanceof DagInvalid, String(error));
      assert.equal([error.code, error.path], ['ERR_DAG_INVALID', path]);
    }
  });
}

definition('a circle is named by one way around it', () => {
  try {
    serialize({ dag_id: 'd', tasks: { z: { file: 'z' }, a: { file: 'a', after: ['c', 'z'] }, b: { file: 'b', after: ['a'] }, c: { file: 'c', after: ['b'] } } });
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /in a circle: (a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c)$/);
  }
});

definition('thousands of tasks in a row take no stack', () => {
  const long = Object.fromEntries(Array.from({ length: 4000 }, (_, index) => [`t${index}`, { file: 'a', after: index === 0 ? [] : [`t${index - 1}`] }]));
  assert.is(serialize({ dag_id: 'd', tasks: long }).tasks.length, 4000);
});

definition('whatever is declared, it is serialized or refused with its own error', () => {
  const id = fc.constantFrom('a', 'b', '__proto__', 'constructor', 'x y', '');
  const task = fc.oneof(fc.anything(), fc.record({ file: fc.oneof(fc.constant('f'), fc.anything()), after: fc.oneof(fc.array(id), fc.anything()), declares: fc.anything(), retries: fc.anything(), outlets: fc.anything() }, { requiredKeys: [] }));
  const declaration = fc.oneof(fc.anything(), fc.record({ dag_id: fc.constantFrom('d', 7), tasks: fc.oneof(fc.dictionary(id, task), fc.anything()), schedule: fc.oneof(fc.string(), fc.anything()), params: fc.anything(), default_args: fc.anything(), tags: fc.anything() }, { requiredKeys: [] }));
  let made = 0;
  fc.assert(fc.property(declaration, (value) => {
    try {
      const first = serialize(value);
      made++;
      JSON.stringify(first);
    } catch (error) {
      if (!(error instanceof DagInvalid)) throw error;
    }
  }), { numRuns: 3000 });
  fc.assert(fc.property(fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 1 }), fc.array(fc.tuple(fc.nat(4), fc.nat(4))), (names, edges) => {
    const after = new Map(names.map((name) => [name, new Set<string>()]));
    for (const [from, to] of edges) if (names[from] !== undefined && names[to] !== undefined && from < to) after.get(names[to])?.add(names[from]);
    const ordered = serialize({ dag_id: 'd', tasks: Object.fromEntries(names.map((name) => [name, { file: 'f', after: [...(after.get(name) ?? [])] }])) });
    made++;
    for (const { task_id, upstream_task_ids } of ordered.tasks) {
      for (const up of upstream_task_ids) assert.ok(ordered.tasks.find((each) => each.task_id === up)?.downstream_task_ids.includes(task_id));
    }
  }));
  assert.ok(made > 0);
});

definition.run();
