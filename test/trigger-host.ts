import { randomUUID } from 'node:crypto';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TriggerHost, type Lookup, type RunTrigger, type TriggerHostOptions } from '../lib/hosts/index.js';
import { Authorizer } from '../lib/index.js';
import { codeOf } from './helpers/code-of.js';
import { until } from './helpers/processes.js';
import { Bundles, nextId, Watched, waiting, type Wanted } from './helpers/triggers.js';

const host = suite('trigger-host');
const bundles = new Bundles();
host.after(() => bundles.remove());

const watch = (options: Partial<TriggerHostOptions> = {}): Watched => new Watched({ teams: bundles.teams, ...options });

// --- A trigger's way

host('triggers wait, fire and finish, side by side in one process', async () => {
  await using watched = watch();
  const ti = { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id: 't', try_number: 1, map_index: -1 };
  const one = bundles.trigger({ kwargs: { question: [1, { two: null }] } });
  const many = bundles.trigger({ source: `export async function* thrice({ ti }) { for (const at of [1, 2, 3]) yield { at, of: ti.task_id, when: new Date(0) }; }`, ti });
  const other = { ...many, id: nextId(), classpath: `${many.classpath}#thrice` };
  const wrong = { ...many, id: nextId() };
  await watched.create(one, other, wrong);
  await watched.over(one, other, wrong);
  assert.equal(watched.outcomes(one, other), [[{ answer: [1, { two: null }] }], [1, 2, 3].map((at) => ({ at, of: 't', when: '1970-01-01T00:00:00.000Z' }))]);
  assert.match(watched.failures.get(wrong.id) ?? '', /no function as its export "default"/);
  assert.equal([watched.host.running, watched.host.pids('red').length, watched.host.pids('blue')], [[], 1, []]);
});

host('five hundred triggers share a process', async () => {
  await using watched = watch();
  const first = bundles.trigger({ kwargs: { pad: 'x'.repeat(20_000), question: 0 } });
  const all = [first, ...Array.from({ length: 499 }, (_, index): RunTrigger => ({ ...first, id: nextId(), kwargs: { ...first.kwargs, question: index + 1 } }))];
  await watched.create(...all);
  await watched.over(...all);
  assert.equal(watched.outcomes(...all), all.map((_, index) => [{ answer: index }]));
  assert.is(watched.host.pids('red').length, 1);
});

host('triggers that have ended leave nothing in their process', async () => {
  await using watched = watch();
  const used = bundles.trigger({
    source: `import v8 from 'node:v8'; import vm from 'node:vm'; v8.setFlagsFromString('--expose-gc'); const gc = vm.runInNewContext('gc');
      export default async () => { for (let times = 0; times < 3; times++) { gc(); await new Promise(setImmediate); } return process.memoryUsage().heapUsed; };`,
  });
  const heap = async (): Promise<number> => {
    const asked = { ...used, id: nextId() };
    await watched.create(asked);
    await watched.over(asked);
    return (watched.outcomes(asked)[0] as [number])[0];
  };
  const short = bundles.trigger();
  const many = async (count: number): Promise<void> => {
    const all = Array.from({ length: count }, () => ({ ...short, id: nextId() }));
    await watched.create(...all);
    await watched.over(...all);
  };
  await many(1000);
  const before = await heap();
  await many(2000);
  const grown = (await heap()) - before;
  assert.ok(grown < 1 << 20, String(grown)); // 500 bytes for each would be as much
});

const failing: readonly [what: string, wanted: Wanted, says: RegExp][] = [
  ['throws', { source: 'export default async () => { throw new TypeError("no good"); };' }, /TypeError: no good\n {4}at .*trigger-\d+\.mjs/],
  ['throws before it waits', { source: 'export default () => { throw new TypeError("at once"); };' }, /at once/],
  ['throws where nothing catches it', { source: 'export default () => new Promise(() => { setTimeout(() => { throw new Error("in a timer"); }, 5); });' }, /in a timer/],
  ['forgets a rejection', { source: 'export default () => new Promise(() => { void (async () => { await null; throw new Error("forgotten"); })(); });' }, /forgotten/],
  ['ends without an event', { source: 'export default async () => {};' }, /without an event/],
  ['fires what is no JSON', { source: 'export default async () => { const a = {}; a.a = a; return a; };' }, /circular/],
  ['fires 5 MiB', { source: 'export default async () => "x".repeat(5 << 20);' }, /at most 4194304 bytes/],
  ['cannot be parsed', { source: '\n\nexport default (' }, /^SyntaxError: .*\n {4}at \S*\/trigger-\d+\.mjs:3$/],
  ['imports what cannot be parsed', { source: "import './not-js.mjs'; export default async () => 1;" }, /^SyntaxError: .*\n {4}at \S*\/not-js\.mjs:2$/],
  ['has no file', { classpath: 'gone.mjs' }, /^the trigger's classpath names no file of its bundle$/],
  ['leads out of its bundle', { classpath: 'link.mjs' }, /leads out of the bundle/],
  ['names another bundle', { bundle_info: { name: 'c' } }, /^the trigger's bundle_info.name names no bundle of its team$/],
  ['is of no team', { team_name: 'green', classpath: 'x.mjs' }, /^the trigger's team_name names no team of this host$/],
  ['is out of time', { source: waiting, kwargs: { go: 'never' }, timeout_after: new Date(Date.now() + 200).toISOString() }, /its time is over/],
];
host('a trigger that fails says why, and those beside it go on in the same process', async () => {
  writeFileSync(join(bundles.folder, 'red', 'not-js.mjs'), '\nconst of = ;\n');
  symlinkSync(join(bundles.folder, 'blue', 'secret.txt'), join(bundles.folder, 'red', 'link.mjs'));
  await using watched = watch();
  const beside = bundles.waiting('beside');
  await watched.create(beside);
  await watched.running('red');
  const pids = watched.host.pids('red');
  const all = failing.map(([, wanted]) => bundles.trigger(wanted));
  await watched.create(...all);
  await watched.over(...all);
  for (const [index, [what, , says]] of failing.entries()) assert.match(watched.failures.get(all[index]?.id ?? 0) ?? 'no failure', says, what);
  assert.equal(watched.host.running, [beside.id]);
  bundles.go('beside');
  await watched.over(beside);
  assert.equal([watched.outcomes(beside), watched.host.pids('red')], [[['went']], pids]);
});

host('a trigger that nobody waits for any more is told, and not heard', async () => {
  await using watched = watch();
  const cancelled = bundles.trigger({ source: `import { log } from 'sallyport/trigger'; export default ({ signal }) => new Promise((resolve) => { log.info('begun'); signal.onabort = () => { log.info('cancelled'); resolve(1); }; });` });
  await watched.create(cancelled);
  const said = (word: string): boolean => watched.lines.some((line) => line.includes(word) && line.includes(`"trigger_id":${cancelled.id}`));
  await until(() => said('begun'));
  await watched.host.sync({ to_cancel: [cancelled.id, 99_999] });
  await until(() => said('cancelled'));
  const after = bundles.trigger();
  await watched.create(after);
  await watched.over(after);
  assert.equal([watched.host.running, watched.finished.has(cancelled.id), watched.failures.has(cancelled.id), watched.events.has(cancelled.id)], [[], false, false, false]);
});

host('what was not heard is told again, in order', async () => {
  const heard: unknown[] = [];
  let refusals = 3;
  await using watched = watch({
    onChanges: ({ events, finished, failures }) => {
      if (refusals-- > 0) throw new Error('the database is away');
      heard.push(...events.map(([, { payload }]) => payload), ...finished.map(() => 'finished'), ...failures.map(([, reasons]) => reasons[0]));
    },
  });
  await watched.create(bundles.trigger({ source: 'export default async function* () { yield 1; yield 2; yield 3; };' }), bundles.trigger({ team_name: 'green', classpath: 'x.mjs' }));
  await until(() => heard.length === 5);
  assert.equal(heard.filter((each) => typeof each === 'number' || each === 'finished'), [1, 2, 3, 'finished']);
  assert.equal(watched.host.running, []);
});

// --- Whose requests

const lookup: Lookup = {
  getVariable: async (key) => ({ key, value: `value of ${key}` }),
  getConnection: async (conn_id) => ({ conn_id, conn_type: 'http', host: 'h', password: 'correct horse battery' }),
  getXCom: async ({ dag_id, run_id, task_id, key }) => ({ key, value: [dag_id, run_id, task_id] }),
};
const asking = `import { connections, variables } from 'sallyport/trigger'; import { xcom } from 'sallyport/task';
  const code = (promise) => promise.then((value) => value?.host ?? value, (error) => error.code);
  export default async () => [await code(variables.get('shared')), await code(variables.get('mine')), await code(connections.get('db')), await code(xcom.pull()), await code(xcom.pull({ task_id: 'other' })), await code(xcom.push('k', 1))];`;

host('each trigger asks in its own name, and gets what its own task declares', async () => {
  await using watched = watch({ lookup });
  const ti = (task_id: string) => ({ id: randomUUID(), dag_id: 'd', run_id: 'r', task_id, try_number: 1 });
  const one = bundles.trigger({ source: asking, ti: ti('one'), declares: { variables: ['sh*'], connections: ['db'] } });
  const two = { ...one, id: nextId(), ti: ti('two'), declares: { variables: ['mine'], xcoms: ['d/other/*'] } };
  const none = { ...one, id: nextId(), ti: null, declares: {} };
  await watched.create(one, two, none);
  await watched.over(one, two, none);
  const denied = 'ERR_BROKER_DENIED';
  assert.equal(watched.outcomes(one, two), [
    [['value of shared', denied, 'h', ['d', 'r', 'one'], denied, denied]],
    [[denied, 'value of mine', denied, ['d', 'r', 'two'], ['d', 'r', 'other'], denied]],
  ]);
  assert.equal((watched.outcomes(none)[0] as unknown[][])[0]?.slice(0, 3), [denied, denied, denied]);
  const tasks = new Set(watched.records.filter(({ method }) => method === 'GetVariable').map(({ task }) => task));
  assert.equal([...tasks].sort(), [one, two, none].map(({ id }) => `red/${id}`).sort());
});

host("the deployment's rules are asked, in the name of the trigger's task and team", async () => {
  const asked: unknown[] = [];
  const authorization = new Authorizer({ policy: ({ identity, resource }) => {
    asked.push([identity.task_id, identity.team, resource.kind]);
    return identity.task_id === 'one';
  } });
  await using watched = watch({ lookup, authorization });
  const source = `import { variables } from 'sallyport/trigger'; export default () => variables.get('shared').catch((error) => error.code);`;
  const both = ['one', 'two'].map((task_id) => bundles.trigger({ source, ti: { id: randomUUID(), dag_id: 'd', run_id: 'r', task_id, try_number: 1 }, grants: 'airflow' }));
  await watched.create(...both);
  await watched.over(...both);
  assert.equal(watched.outcomes(...both), [['value of shared'], ['ERR_BROKER_DENIED']]);
  assert.equal(asked.sort(), [['one', 'red', 'variable'], ['two', 'red', 'variable']]);
});

// --- Whom it cannot reach

/** What an attacker in a trigger's file uses: messages of any shape, past the functions for authors. */
const raw = `
  const supervisor = globalThis[Symbol.for('sallyport.task')]?.supervisor ?? globalThis[Symbol.for('sallyport.task.client')];
  const code = (promise) => promise.then((reply) => reply?.value ?? 'done', (error) => error.code);
  const channel = Object.getPrototypeOf(Object.getPrototypeOf(supervisor)); // below what fills in whose request it is
  const request = (type, fields) => channel.request.call(supervisor, type, fields);
`;

host("a trigger of one team cannot speak for another team's, nor ask in its name", async () => {
  await using watched = watch({ lookup });
  const victim = bundles.waiting('victim', { team_name: 'blue', declares: { variables: ['mine'] } });
  const own = bundles.waiting('own', { declares: { variables: ['mine'] } });
  await watched.create(victim, own);
  await watched.running('red', 'blue');
  const attacker = bundles.trigger({
    source: `${raw} export default async ({ kwargs }) => { const tried = {};
      for (const [who, id] of Object.entries(kwargs)) tried[who] = [await code(request('GetVariable', { trigger_id: id, key: 'mine' })), await code(request('TriggerStateChanges', { events: [[id, { payload: 'forged' }]] })),
        await code(request('TriggerStateChanges', { finished: [id] })), await code(request('TriggerStateChanges', { failures: [[id, ['forged']]] }))];
      return tried; };`,
    kwargs: { own: own.id, victim: victim.id, absent: 1e9 },
  });
  await watched.create(attacker);
  await watched.over(attacker);
  const denied = Array<string>(4).fill('ERR_BROKER_DENIED');
  // The control: of its own team's triggers, with which it shares a process, it is believed.
  assert.equal(watched.outcomes(attacker), [[{ own: ['value of mine', 'done', 'done', 'done'], victim: denied, absent: denied }]]);
  assert.equal([watched.finished.has(own.id), watched.events.has(victim.id), watched.finished.has(victim.id), watched.failures.has(victim.id)], [true, false, false, false]);
  bundles.go('victim');
  await watched.over(victim);
  assert.equal(watched.outcomes(victim), [['went']]);
});

host('whatever a process says, its host answers, and what it says of itself stands', async () => {
  await using watched = watch({ lookup });
  const victim = bundles.waiting('beside-noise', { team_name: 'blue' });
  await watched.create(victim);
  await watched.running('blue');
  const attacker = bundles.trigger({
    source: `${raw} export default async ({ kwargs }) => {
      const odd = [undefined, null, -1, 1.5, 2 ** 53, 'x', [], [[]], [[1]], [[kwargs.victim, null]], [['1', { payload: 1 }]], {}, { payload: new Date() }, [[kwargs.victim, { payload: 1 }]], [kwargs.victim], 'a'.repeat(1e5), new Uint8Array(9)];
      const replies = new Map(); const waiting = [];
      for (const type of ['TriggerStateChanges', 'GetVariable', 'GetConnection', 'GetXCom', 'MaskSecret', 'StartTriggerer', 'TriggerStateSync', '__proto__', 'constructor'])
        for (const a of odd) for (const b of odd) {
          const some = { events: a, finished: b, failures: a, trigger_id: b, key: a, conn_id: a, value: b };
          if (type !== 'TriggerStateChanges' || [a, b].some((each) => each != null && !(Array.isArray(each) && each.length === 0))) waiting.push(code(request(type, some)).then((answer) => replies.set(answer, (replies.get(answer) ?? 0) + 1)));
        }
      await Promise.all(waiting);
      return [waiting.length, [...replies.keys()].sort(), replies.get('ERR_BROKER_DENIED')]; };`,
    kwargs: { victim: victim.id },
  });
  await watched.create(attacker);
  await watched.over(attacker);
  const [[asked, answers, denied]] = watched.outcomes(attacker)[0] as [[number, string[], number]];
  assert.ok(asked > 2000);
  assert.equal([answers, denied], [['ERR_BROKER_DENIED'], asked]);
  bundles.go('beside-noise');
  await watched.over(victim);
  assert.equal(watched.outcomes(victim), [['went']]);
});

host('a trigger ends once, whatever its process says and how often', async () => {
  const ends: unknown[] = [];
  await using watched = watch({ lookup, onChanges: async ({ finished, failures, events }) => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    ends.push(...finished, ...failures.map(([id, [reason]]) => [id, reason]), ...events.map(([id, { payload }]) => [id, payload]));
  } });
  const attacker = bundles.trigger({
    source: `${raw} export default async ({ kwargs: { id } }) => {
      await request('TriggerStateChanges', { events: [[id, { payload: 'before' }]] });
      const told = Array.from({ length: 8 }, (_, at) => request('TriggerStateChanges', { finished: [id, id], failures: [[id, ['also']]], events: at === 0 ? [] : [[id, { payload: 'after' }]] }));
      await Promise.all(told); await new Promise(() => {}); };`,
    kwargs: {},
  });
  const { id } = attacker;
  await watched.host.sync({ to_create: [{ ...attacker, kwargs: { id } }] });
  await until(() => ends.includes(id));
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal([ends, watched.host.running], [[[id, 'before'], id], []]); // the first two: control
});

host('a process has no more hidden for having many triggers', async () => {
  await using watched = watch({ lookup });
  const beside = Array.from({ length: 20 }, () => bundles.waiting('never-here'));
  await watched.create(...beside);
  const attacker = bundles.trigger({
    source: `${raw} export default async ({ kwargs: { ids } }) => {
      const seen = []; for (const id of ids) seen.push(await code(request('MaskSecret', { trigger_id: id, value: 'x'.repeat(40_000) + id })));
      return seen; };`,
    kwargs: { ids: beside.map(({ id }) => id) },
  });
  await watched.create(attacker);
  await watched.over(attacker);
  const [[seen]] = watched.outcomes(attacker) as [[string[]]];
  assert.equal([seen.length, seen[0], seen.at(-1)], [20, 'done', 'ERR_BROKER_DENIED']); // the first: control
  assert.ok(seen.filter((each) => each === 'done').length <= 6, seen.join());
});

host("a trigger of one team reaches neither another team's process nor its files; unconfined it does", async () => {
  const attack = `import { readFileSync, writeFileSync } from 'node:fs';
    const tried = (attempt) => { try { attempt(); return 'reached'; } catch (error) { return error.code; } };
    export default async ({ kwargs: { pid, secret } }) => ({ code: tried(() => readFileSync(secret)), memory: tried(() => readFileSync('/proc/' + pid + '/environ')), signal: tried(() => process.kill(pid, 0)), scratch: tried(() => readFileSync('/proc/' + pid + '/cwd/.running-trigger')) });`;
  const attempt = async (policy: object): Promise<unknown> => {
    await using watched = watch({ teams: { ...bundles.teams, red: { bundles: {}, ...bundles.teams['red'], ...policy } } });
    const victim = bundles.waiting('never', { team_name: 'blue' });
    await watched.create(victim);
    await watched.running('blue');
    const attacker = bundles.trigger({ source: attack, kwargs: { pid: watched.host.pids('blue')[0], secret: join(bundles.folder, 'blue', 'secret.txt') } });
    await watched.create(attacker);
    await watched.over(attacker);
    return watched.outcomes(attacker)[0];
  };
  const control = (await attempt({ policy: { dangerouslyUnconfined: true } })) as Record<string, string>[];
  assert.equal([control[0]?.['code'], control[0]?.['memory'], control[0]?.['signal']], ['reached', 'reached', 'reached']);
  assert.equal(await attempt({}), [{ code: 'EACCES', memory: 'EACCES', signal: 'EPERM', scratch: 'EACCES' }]);
});

// --- How it is used

host('wrong arguments create nothing', async () => {
  const make = (options: object) => codeOf(() => new TriggerHost({ teams: bundles.teams, onChanges: () => {}, ...options } as never));
  assert.equal(
    [{}, { teams: 1 }, { onChanges: 1 }, { pollMs: 0 }, { teams: { a: {} } }, { teams: { a: { bundles: { b: join(bundles.folder, 'gone') } } } }, { limits: {} }].map(make),
    [undefined, 'ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE', 'ENOENT', 'ERR_OUT_OF_RANGE'],
  );
  await using watched = watch();
  const sync = (wanted: object): Promise<string | undefined> => watched.host.sync(wanted).then(() => undefined, (error: { code: string }) => error.code);
  const right = bundles.trigger();
  assert.equal(
    await Promise.all([
      { to_create: right }, { to_cancel: ['1'] }, { create: [] }, { to_create: [right, { ...right, id: -1 }] }, { to_create: [right, { ...right, team_name: '' }] }, { to_create: [right, { ...right, kwargs: { a: 'x'.repeat(300_000) } }] },
      { to_create: [right, { ...right, timeout_after: 'soon' }] }, { to_create: [right, { ...right, classpath: 'a#b c' }] }, { to_create: [right, { ...right, grants: 'all' }] },
    ].map(sync)),
    ['ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_TYPE', ...Array<string>(7).fill('ERR_OUT_OF_RANGE')],
  );
  assert.equal([watched.host.running, watched.host.pids('red')], [[], []]);
});

host('a host that is disposed leaves no process, and tells nothing more', async () => {
  const watched = watch();
  const left = [bundles.waiting('never'), bundles.waiting('never', { team_name: 'blue' })];
  await watched.create(...left);
  await watched.running('red', 'blue');
  const pids = [...watched.host.pids('red'), ...watched.host.pids('blue')];
  await watched[Symbol.asyncDispose]();
  await watched[Symbol.asyncDispose]();
  assert.equal(pids.map((pid) => codeOf(() => process.kill(pid, 0))), ['ESRCH', 'ESRCH']);
  assert.equal([watched.finished.size, watched.failures.size, watched.host.running], [0, 0, []]);
  assert.is(await watched.create(bundles.trigger()).then(() => undefined, (error: { code: string }) => error.code), 'ERR_BROKER_CLOSED');
});

host.run();
