import { execFileSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes, randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { covers, Patterns } from '../lib/authorization/pattern.js';
import { rules } from '../lib/authorization/rules.js';
import { Authorizer, opaPolicy, type AuthorizerOptions, type Decision, type DecisionRecord, ExecutionApi, type PolicyFunction, type Resource, Secret, Supervisor, type TaskIdentity } from '../lib/index.js';
import { createServer } from '../lib/server/index.js';
import type { Action, Owner } from '../lib/authorization/index.js';
import { cpuMsSince } from './helpers/cpu.js';

const authorization = suite('authorization');

const me: TaskIdentity = { id: randomUUID(), dag_id: 'daily', run_id: 'r1', task_id: 'load', map_index: -1, try_number: 1, team: 'a', standing: 'live' };
const own = { kind: 'xcom', dag_id: 'daily', run_id: 'r1', task_id: 'load', map_index: -1, key: 'k' } as const;
const variable: Resource = { kind: 'variable', key: 'region' };
const connection: Resource = { kind: 'connection', conn_id: 'db' };

const both = { multiTeam: true, predeclared: true } as const;
const declares = { variables: ['region', 'shared/*'], connections: ['db'], xcoms: ['weekly/*/total'] };

/** Who, does what, to what, whose, under which switches: by which rule, and why. */
const table: readonly (readonly [who: Partial<TaskIdentity>, Action, Resource, Owner, AuthorizerOptions, allowed: boolean, rule: string, reason: string])[] = [
  [{}, 'read', variable, undefined, {}, true, 'live-try', 'live'],
  [{}, 'write', own, undefined, {}, true, 'live-try', 'live'],
  [{}, 'write', { ...own, dag_id: 'weekly' }, undefined, {}, false, 'own-xcom-write', 'not_own'],
  [{}, 'write', { ...own, run_id: 'r2' }, undefined, {}, false, 'own-xcom-write', 'not_own'],
  [{}, 'delete', { ...own, task_id: 'other' }, undefined, {}, false, 'own-xcom-write', 'not_own'],
  [{}, 'write', { ...own, map_index: 0 }, undefined, {}, false, 'own-xcom-write', 'not_own'],
  [{}, 'read', { ...own, task_id: 'other' }, undefined, {}, true, 'live-try', 'live'],
  [{ standing: 'ended' }, 'read', variable, undefined, {}, false, 'live-try', 'ended'],
  [{ standing: 'ended' }, 'write', own, undefined, {}, false, 'live-try', 'ended'],
  [{ standing: 'ended' }, 'transition', { kind: 'task_instance', dag_id: 'daily' }, undefined, {}, true, 'live-try', 'live'],
  [{ standing: 'replaced' }, 'transition', { kind: 'task_instance', dag_id: 'daily' }, undefined, {}, false, 'live-try', 'replaced'],
  [{ standing: 'replaced' }, 'write', own, undefined, {}, false, 'live-try', 'replaced'],
  [{}, 'read', variable, 'b', {}, true, 'live-try', 'live'],
  [{}, 'read', variable, 'a', { multiTeam: true }, true, 'team', 'own_team'],
  [{}, 'write', variable, 'a', { multiTeam: true }, true, 'team', 'own_team'],
  [{}, 'read', variable, null, { multiTeam: true }, true, 'team', 'global'],
  [{}, 'write', variable, null, { multiTeam: true }, false, 'team', 'not_of_team'],
  [{}, 'delete', variable, null, { multiTeam: true }, false, 'team', 'not_of_team'],
  [{}, 'read', connection, 'b', { multiTeam: true }, false, 'team', 'not_of_team'],
  [{}, 'read', connection, undefined, { multiTeam: true }, false, 'team', 'not_of_team'],
  [{ team: null }, 'read', connection, null, { multiTeam: true }, true, 'team', 'own_team'],
  [{ team: null }, 'write', variable, null, { multiTeam: true }, true, 'team', 'own_team'],
  [{ team: null }, 'read', connection, 'a', { multiTeam: true }, false, 'team', 'not_of_team'],
  [{}, 'read', { ...own, dag_id: 'weekly' }, 'a', { multiTeam: true }, true, 'team', 'own_team'],
  [{}, 'read', { ...own, dag_id: 'weekly' }, 'b', { multiTeam: true }, false, 'team', 'not_of_team'],
  [{}, 'read', { ...own, task_id: 'other' }, undefined, { multiTeam: true }, true, 'team', 'own_team'],
  [{}, 'write', { kind: 'dag_run', dag_id: 'weekly', run_id: 'x' }, 'b', { multiTeam: true }, false, 'team', 'not_of_team'],
  [{}, 'write', { kind: 'dag_run', dag_id: 'weekly', run_id: 'x' }, 'a', { multiTeam: true }, true, 'team', 'own_team'],
  [{}, 'read', { kind: 'variable', prefix: '' }, undefined, both, true, 'declared', 'listing'],
  [{ declares }, 'read', variable, 'a', { predeclared: true }, true, 'declared', 'declared'],
  [{ declares }, 'read', { kind: 'variable', key: 'shared/x/y' }, 'a', { predeclared: true }, true, 'declared', 'declared'],
  [{ declares }, 'read', { kind: 'variable', key: 'share' }, 'a', { predeclared: true }, false, 'declared', 'not_declared'],
  [{}, 'read', variable, 'a', { predeclared: true }, false, 'declared', 'not_declared'],
  [{ declares }, 'read', { kind: 'connection', conn_id: 'region' }, 'a', { predeclared: true }, false, 'declared', 'not_declared'],
  [{ declares }, 'read', connection, 'b', both, false, 'team', 'not_of_team'],
  [{ declares }, 'read', connection, 'a', both, true, 'declared', 'declared'],
  [{ declares }, 'read', { ...own, dag_id: 'weekly', key: 'total' }, 'a', both, true, 'declared', 'declared'],
  [{ declares }, 'read', { ...own, dag_id: 'weekly' }, 'a', both, false, 'declared', 'not_declared'],
  [{ declares }, 'read', { ...own, dag_id: 'weekly/load', task_id: 'x', key: 'total' }, 'a', both, false, 'declared', 'not_declared'],
  [{}, 'read', own, undefined, both, true, 'declared', 'own'],
  [{}, 'read', { kind: 'dag', dag_id: 'weekly' }, 'a', both, true, 'team', 'own_team'],
  [{}, 'read', variable, undefined, { policy: () => true }, true, 'policy', 'policy'],
  [{}, 'read', variable, undefined, { policy: () => false }, false, 'policy', 'policy_denied'],
  [{}, 'transition', { kind: 'task_instance', dag_id: 'daily' }, undefined, { policy: () => false }, true, 'live-try', 'live'],
];
for (const [who, action, resource, owner, options, allowed, rule, reason] of table) {
  authorization(`${allowed ? 'allowed' : 'refused'}: ${JSON.stringify(who)} ${action} ${JSON.stringify(resource)} of ${owner} with ${Object.keys(options).join() || 'nothing'}`, () => {
    assert.equal(new Authorizer(options).decide({ ...me, ...who }, action, resource, owner), { allowed, rule, reason });
  });
}

authorization('docs/authorization.md has the rules, in order', () => {
  const page = readFileSync(new URL('../docs/authorization.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| \d+ \| `([\w-]+)` \|/gm)].map(([, name]) => name);
  assert.equal(rows, [...rules.map(({ name }) => name), 'policy']);
});

// --- Properties

const name = fc.constantFrom('a', 'b', 'a/b', 'a.b', '*', '', 'é');
const team = fc.constantFrom('a', 'b', null);
const identities = fc.record({
  id: fc.constant(me.id), dag_id: name, run_id: name, task_id: name, map_index: fc.constantFrom(-1, 0, 1), try_number: fc.constant(1), team,
  standing: fc.constantFrom('live', 'ended', 'replaced'),
  declares: fc.option(fc.record({ variables: fc.array(name), connections: fc.array(name), xcoms: fc.array(fc.tuple(name, name, name).map((parts) => parts.join('/'))) })),
}) as fc.Arbitrary<TaskIdentity>; // prettier-ignore
const resources: fc.Arbitrary<Resource> = fc.oneof(
  fc.record({ kind: fc.constant('variable'), key: name }),
  fc.record({ kind: fc.constant('variable'), prefix: name }),
  fc.record({ kind: fc.constant('connection'), conn_id: name }),
  fc.record({ kind: fc.constant('xcom'), dag_id: name, run_id: name, task_id: name, map_index: fc.constantFrom(-1, 0, 1), key: name }),
  fc.record({ kind: fc.constant('dag_run'), dag_id: name, run_id: name }),
  fc.record({ kind: fc.constant('dag'), dag_id: name }),
  fc.record({ kind: fc.constant('asset'), uri: name }),
  fc.record({ kind: fc.constant('task_instance'), dag_id: name }),
) as fc.Arbitrary<Resource>;
const actions = fc.constantFrom<Action>('read', 'write', 'delete', 'transition');
const owners: fc.Arbitrary<Owner> = fc.constantFrom('a', 'b', null, undefined);
const switches = fc.record({ multiTeam: fc.boolean(), predeclared: fc.boolean() });
const questions = fc.tuple(identities, actions, resources, owners);
type Asked = readonly [TaskIdentity, Action, Resource, Owner];

const decide = (options: AuthorizerOptions, [identity, action, resource, owner]: Asked): Decision => new Authorizer(options).decide(identity, action, resource, owner) as Decision;
const holds = (property: fc.IProperty<unknown[]> | fc.IRawProperty<never>): void => fc.assert(property as fc.IProperty<unknown[]>, { numRuns: 3000 });

authorization('whatever is switched on, no XCom is written but the own', () => {
  holds(fc.property(switches, questions, (options, question) => {
    const [identity, action, resource] = question;
    if (resource.kind !== 'xcom' || action === 'read' || !decide(options, question).allowed) return;
    for (const field of ['dag_id', 'run_id', 'task_id', 'map_index'] as const) assert.is(identity[field], resource[field]);
  }) as never);
  fc.assert(fc.property(switches, identities, (options, identity) => {
    const { dag_id, run_id, task_id, map_index } = identity;
    assert.ok(decide(options, [{ ...identity, standing: 'live' }, 'write', { kind: 'xcom', dag_id, run_id, task_id, map_index, key: 'k' }, undefined]).allowed); // control
  }));
});

authorization('a try that is over reads and writes nothing, one that was replaced not even its own state', () => {
  holds(fc.property(switches, questions, (options, question) => {
    const [{ standing }, action] = question;
    if (standing === 'live' || (standing === 'ended' && action === 'transition')) return;
    assert.not.ok(decide(options, question).allowed);
  }) as never);
});

authorization('what is not there is answered as what is of another team', () => {
  holds(fc.property(switches, identities, actions, resources, (options, identity, action, resource) => {
    const foreign = identity.team === 'a' ? 'b' : 'a';
    assert.equal(decide(options, [identity, action, resource, undefined]), decide(options, [identity, action, resource, foreign]));
  }) as never);
});

authorization('teams bound what is read and written, where they are looked at', () => {
  holds(fc.property(fc.boolean(), questions, (predeclared, question) => {
    const [identity, action, resource, owner] = question;
    const isOwnDag = 'dag_id' in resource && resource.dag_id === identity.dag_id;
    if (isOwnDag || 'prefix' in resource || !decide({ multiTeam: true, predeclared }, question).allowed) return;
    assert.ok(owner === identity.team || (owner === null && action === 'read'));
  }) as never);
  holds(fc.property(fc.boolean(), questions, owners, team, (predeclared, [identity, action, resource, owner], otherOwner, otherTeam) => {
    const other: Asked = [{ ...identity, team: otherTeam }, action, resource, otherOwner];
    assert.equal(decide({ predeclared }, [identity, action, resource, owner]), decide({ predeclared }, other));
  }) as never);
});

authorization('each switch, and a policy, can only take away', () => {
  holds(fc.property(switches, questions, fc.boolean(), (options, question, answer) => {
    if (decide({ ...options, policy: () => answer }, question).allowed) {
      assert.ok(decide(options, question).allowed);
      assert.ok(decide({}, question).allowed);
    }
    if (decide(both, question).allowed) for (const less of [{ multiTeam: true }, { predeclared: true }]) assert.ok(decide(less, question).allowed);
  }) as never);
});

authorization('a star stands for any characters, everything else for itself', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '/', '\\', '('), maxLength: 8 });
  holds(fc.property(text, text, (pattern, subject) => {
    const expression = new RegExp(`^${pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('[^]*')}$`);
    assert.is(covers(pattern, subject), expression.test(subject), `${pattern} ${subject}`);
  }) as never);
});

authorization('a pattern made to be slow is not', () => {
  assert.not.ok(covers('*a'.repeat(500), `${'a'.repeat(400)}b`)); // a backtracking matcher would never end
  assert.ok(covers('*a'.repeat(400), 'a'.repeat(400)));
});

authorization('a pattern and a name take their lengths together, not each other\'s times', () => {
  const name = 'a'.repeat(200_000);
  const pattern = `*${'a'.repeat(100_000)}b*`;
  const before = process.cpuUsage();
  assert.not.ok(covers(pattern, name));
  assert.ok(cpuMsSince(before) < 2_000); // their product is 20 s
  assert.ok(covers(`*${'a'.repeat(100_000)}*`, name)); // control
  assert.ok(covers(`${'a'.repeat(9)}*${'ab'.repeat(9)}*b`, `${'a'.repeat(30)}${'ab'.repeat(9)}b`));
});

authorization('many names against many patterns are refused sooner than compared', () => {
  const patterns = new Patterns([...Array.from({ length: 1_000 }, (_, index) => `*${'a'.repeat(1_000)}${index}*`), 'known*', 'exact']);
  const names = Array.from({ length: 4_000 }, (_, index) => `${'a'.repeat(1_000)}-${index}`);
  const before = process.cpuUsage();
  assert.not.ok(patterns.coverAll([...names, 'known1'])); // 4 GB to look at
  assert.ok(cpuMsSince(before) < 1_000);
  assert.ok(patterns.coverAll(['known1', 'exact', ...Array.from({ length: 10_000 }, () => 'exact')])); // control
  assert.not.ok(patterns.coverAll(['known1', 'other']));
  assert.not.ok(patterns.cover(`known${'x'.repeat(1_500)}`));
});

// --- Policies

async function asked(policy: unknown, options: AuthorizerOptions = {}): Promise<Decision> {
  return new Authorizer({ ...options, policy: policy as PolicyFunction }).decide(me, 'read', variable, undefined);
}

authorization('only true is a yes, now or later', async () => {
  for (const yes of [true, { allowed: true }, Promise.resolve(true), Promise.resolve({ allowed: true, reason: 'policy' })]) {
    assert.equal(await asked(() => yes), { allowed: true, rule: 'policy', reason: 'policy' });
  }
  for (const no of [false, undefined, null, 1, 'true', [], {}, { allowed: 'yes' }, { allowed: 1 }, Promise.resolve(1), Promise.resolve(undefined)]) {
    assert.equal(await asked(() => no), { allowed: false, rule: 'policy', reason: 'policy_denied' });
  }
  assert.is((await asked(() => ({ allowed: false, reason: 'on holiday' }))).reason, 'on holiday');
});

authorization('what a policy throws, and no answer, are a no, told to the operator', async () => {
  const told: unknown[] = [];
  const onPolicyError = (error: unknown): number => told.push((error as Error).message);
  const failures: readonly PolicyFunction[] = [
    () => { throw new Error('thrown'); },
    () => Promise.reject(new Error('rejected')),
    () => new Promise(() => {}),
  ]; // prettier-ignore
  for (const policy of failures) assert.equal(await asked(policy, { onPolicyError, policyTimeoutMs: 20 }), { allowed: false, rule: 'policy', reason: 'policy_failed' });
  assert.equal(told, ['thrown', 'rejected', 'the policy did not answer within 20 ms']);
});

authorization('a policy is asked last, about what the rules have allowed', async () => {
  const questions: unknown[] = [];
  const authorizer = new Authorizer({ multiTeam: true, policy: (question) => questions.push(question) > 0 });
  assert.not.ok((await authorizer.decide(me, 'read', variable, 'b')).allowed);
  assert.equal(questions, []);
  assert.ok((await authorizer.decide(me, 'read', variable, null)).allowed);
  assert.equal(questions, [{ identity: me, action: 'read', resource: variable, owner: null }]);
});

const rego = (): Promise<Uint8Array> => Promise.resolve(readFileSync(new URL('fixtures/authorization.wasm', import.meta.url)));

authorization('a policy in Rego, compiled to WebAssembly, decides', async () => {
  const policy = await opaPolicy(await rego(), { data: { production: ['daily'] } });
  const authorizer = new Authorizer({ policy });
  const may = async (who: Partial<TaskIdentity>, action: Action, resource: Resource): Promise<boolean> => (await authorizer.decide({ ...me, ...who }, action, resource)).allowed;
  const prod: Resource = { kind: 'variable', key: 'prod/key' };
  assert.ok(await may({}, 'read', variable));
  assert.ok(await may({}, 'read', prod));
  assert.not.ok(await may({}, 'write', prod));
  assert.not.ok(await may({ dag_id: 'weekly' }, 'read', prod));
  assert.ok(await may({}, 'read', { kind: 'connection', conn_id: 'daily-db' }));
  assert.not.ok(await may({}, 'read', { kind: 'connection', conn_id: 'weekly-db' }));
  assert.ok(await may({}, 'write', own));
  assert.not.ok(await may({}, 'read', { kind: 'dag', dag_id: 'daily' })); // the default
  for (let i = 0; i < 2_000; i++) assert.ok(await may({}, 'read', prod)); // its memory does not fill up
});

authorization('another entrypoint gives a reason for the record', async () => {
  const policy = await opaPolicy(await rego(), { entrypoint: 'sallyport/answer' });
  assert.equal(await asked(policy), { allowed: true, rule: 'policy', reason: 'policy' });
  const decision = await new Authorizer({ policy }).decide(me, 'read', { kind: 'variable', key: 'prod/key' });
  assert.equal(decision, { allowed: false, rule: 'policy', reason: 'not for daily' });
});

async function failureOf(work: () => unknown): Promise<Error & { code?: string }> {
  try {
    await work();
  } catch (error) {
    return error as Error;
  }
  return assert.unreachable() as never;
}

authorization('what is no policy is refused when it is loaded', async () => {
  assert.is((await failureOf(async () => opaPolicy(Buffer.from('no wasm')))).name, 'CompileError');
  assert.match((await failureOf(async () => opaPolicy(await rego(), { entrypoint: 'sallyport/none' }))).message, 'sallyport/allow');
  // A module that is one, and no policy.
  assert.instance(await failureOf(() => opaPolicy(Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]))), Error);
});

authorization('without the optional package it says what to install, and the rest works', () => {
  const hooks = `export async function resolve(name, context, next) {
    if (name.startsWith('@open-policy-agent/')) throw Object.assign(new Error('gone'), { code: 'ERR_MODULE_NOT_FOUND' });
    return next(name, context); }`;
  const script = `import { register } from 'node:module';
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hooks)}));
    const { Authorizer, opaPolicy } = await import('${new URL('../lib/index.js', import.meta.url).href}');
    console.log(new Authorizer().decide(${JSON.stringify(me)}, 'read', ${JSON.stringify(variable)}).allowed);
    await opaPolicy(new Uint8Array()).catch((error) => console.log(error.code, error.message));`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  assert.match(output, /^true\nERR_MODULE_NOT_FOUND .*npm install @open-policy-agent\/opa-wasm/);
});

// --- Whose it is, and the record

authorization('whose a resource is can be found out later, and not at all is a no', async () => {
  const decideWith = async (ownerOf: AuthorizerOptions['ownerOf']): Promise<boolean> => (await new Authorizer({ multiTeam: true, ...(ownerOf && { ownerOf }) }).decide(me, 'read', variable)).allowed;
  assert.ok(await decideWith(() => 'a'));
  assert.ok(await decideWith(async () => 'a'));
  assert.ok(await decideWith(async () => null));
  assert.not.ok(await decideWith(async () => 'b'));
  assert.not.ok(await decideWith(undefined));
  assert.not.ok(await decideWith(() => { throw new Error('no'); }));
  assert.not.ok(await decideWith(async () => Promise.reject(new Error('no'))));
});

authorization('each decision is recorded: who, what, which rule, and no more', () => {
  const records: DecisionRecord[] = [];
  const published: unknown[] = [];
  const listen = (message: unknown): number => published.push(message);
  subscribe('sallyport:decision', listen);
  const authorizer = new Authorizer({ multiTeam: true, onDecision: (record) => records.push(record), now: () => 0 });
  void authorizer.decide(me, 'read', variable, 'b');
  void authorizer.decide(me, 'write', own);
  unsubscribe('sallyport:decision', listen);
  const who = { at: '1970-01-01T00:00:00.000Z', task_instance_id: me.id, dag_id: 'daily', run_id: 'r1', task_id: 'load', map_index: -1, try_number: 1, team: 'a' };
  assert.equal(records, [
    { ...who, action: 'read', kind: 'variable', name: 'region', allowed: false, rule: 'team', reason: 'not_of_team' },
    { ...who, action: 'write', kind: 'xcom', name: 'daily/r1/load/-1/k', allowed: true, rule: 'team', reason: 'own_team' },
  ]);
  assert.equal(published, records);
  assert.ok(records.every(Object.isFrozen));
});

authorization('what cannot be recorded is not allowed', async () => {
  const onDecision = (): never => { throw new Error('the disk is full'); };
  assert.match((await failureOf(() => new Authorizer({ onDecision }).decide(me, 'read', variable))).message, 'full');
  assert.match((await failureOf(() => new Authorizer({ onDecision, policy: async () => true }).decide(me, 'read', variable))).message, 'full');
});

authorization('options that are wrong are refused by name', async () => {
  for (const options of [{ multiTeam: 'yes' }, { predeclared: 1 }, { policy: true }, { policyTimeoutMs: 0 }, { onDecision: 'log' }, { ownerOf: {} }, { policies: [] }, null]) {
    assert.match((await failureOf(() => new Authorizer(options as never))).code ?? '', /^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/);
  }
});

// --- In a supervisor, before a server that decides nothing

authorization('a supervisor asks the same rules about what a task was granted', async () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-authorization-')));
  try {
    mkdirSync(join(folder, 'bundle'));
    writeFileSync(join(folder, 'bundle', 'task.mjs'), `import { connections, variables, xcom } from 'sallyport/task';
      const code = (promise) => promise.then((value) => value ?? 'done', (error) => error.code);
      export default async () => console.log(JSON.stringify([
        await code(variables.get('ours')), await code(variables.get('theirs')), await code(connections.get('db')),
        await code(xcom.push('k', 1)), await code(xcom.pull({ dag_id: 'weekly', run_id: 'r', task_id: 't' })),
      ]));`);
    await using server = await createServer({ signingKey: Secret.fromBytes(randomBytes(64)), authorization: 'airflow' });
    await server.listen();
    const ti = { dag_id: 'daily', run_id: 'r', task_id: 't' };
    await server.seed({ variables: { ours: '1', theirs: '2' }, connections: [{ conn_id: 'db', conn_type: 'http' }] });
    const records: DecisionRecord[] = [];
    const ownerOf = (resource: Resource): Owner => (resource.kind === 'variable' && 'key' in resource ? (resource.key === 'ours' ? 'a' : 'b') : 'a');
    const policy: PolicyFunction = async ({ resource }) => resource.kind !== 'connection';
    const run = async (authorizer?: Authorizer): Promise<unknown> => {
      const id = randomUUID();
      await server.seed({ taskInstances: [{ id, ...ti, run_id: id }] });
      const lines: string[] = [];
      await using api = new ExecutionApi({ baseUrl: server.url ?? '', token: Secret.fromBytes(Buffer.from(await server.issueWorkloadToken(id))) });
      await using supervisor = new Supervisor({ api, bundles: { b: join(folder, 'bundle') }, onLog: ({ line }) => lines.push(line), ...(authorizer && { authorization: authorizer }) });
      const workload = { type: 'ExecuteTask', ti: { id, ...ti, run_id: id, try_number: 1 }, dag_rel_path: 'task.mjs', bundle_info: { name: 'b' } };
      const grants = { variables: 'any', connections: 'any', xcoms: [{ dag_id: 'weekly', run_id: 'r', task_id: 't' }] } as const;
      const outcome = await supervisor.run(workload, { grants, team: 'a', declares: { variables: ['*'], connections: ['db'] } });
      assert.is(outcome.state, 'success');
      return JSON.parse(lines.join('')).map((value: unknown) => (typeof value === 'object' ? 'a connection' : value));
    };
    assert.equal(await run(), ['1', '2', 'a connection', 'done', 'done']); // control
    const denied = 'ERR_BROKER_DENIED';
    assert.equal(await run(new Authorizer({ multiTeam: true, predeclared: true, ownerOf, policy, onDecision: (record) => records.push(record) })), ['1', denied, denied, 'done', denied]);
    assert.equal(records.map(({ kind, action, allowed, rule }) => [kind, action, allowed, rule]), [
      ['variable', 'read', true, 'policy'], ['variable', 'read', false, 'team'], ['connection', 'read', false, 'policy'], ['xcom', 'write', true, 'policy'], ['xcom', 'read', false, 'declared'],
    ]); // prettier-ignore
  } finally {
    rmSync(folder, { recursive: true });
  }
});


authorization.run();
