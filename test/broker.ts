import { channel as diagnosticsChannel } from 'node:diagnostics_channel';
import { Type } from '@sinclair/typebox';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorResponse, method, serve, type AuditRecord, type MethodTable, type ServeOptions } from '../lib/broker/index.js';
import { BrokerViolation, UpstreamFailed, UpstreamUnreachable } from '../lib/errors.js';
import { Peer } from './helpers/peer.js';
import { socketPair } from './helpers/socket-pair.js';

const broker = suite('broker');

const granted = ['colour'] as const;
const get = method({
  params: Type.Object({ key: Type.String() }),
  permit: ({ key }) => { const own = granted.find((name) => name === key); return own && { key: own }; },
  handler: ({ key }) => ({ type: 'VariableResult', key, value: 'green' }),
});

async function open(methods: MethodTable = { get }, options: Partial<ServeOptions> = {}) {
  const { near, far } = await socketPair();
  const records: AuditRecord[] = [];
  const violations: BrokerViolation[] = [];
  const served = serve(near, { methods, task: 'ti-1', audit: (entry) => records.push(entry), onViolation: (violation) => violations.push(violation), ...options });
  return { peer: new Peer(far), served, records, violations, near, far };
}

const control = { type: 'get', key: 'colour' };
const answer = [7, { type: 'VariableResult', key: 'colour', value: 'green' }, null];

broker('a granted request is answered and recorded', async () => {
  const { peer, served, records } = await open();
  assert.equal(await peer.ask([7, control]), answer);
  assert.is(records.length, 1);
  const { at, ...rest } = records[0] as AuditRecord;
  assert.equal(rest, { task: 'ti-1', id: 7, method: 'get', outcome: 'allowed' });
  assert.is(new Date(at).toISOString(), at);
  assert.ok(Object.isFrozen(records[0]));
  await served[Symbol.asyncDispose]();
  await served[Symbol.asyncDispose]();
});

const denials: readonly [what: string, body: unknown][] = [
  ['a method that is not granted', { type: 'put', key: 'colour' }],
  ['a method named like what every object has', { type: 'constructor', key: 'colour' }],
  ['a method without a name', { key: 'colour' }],
  ['no body', null],
  ['a name that is not text', { type: ['get'], key: 'colour' }],
  ['a value that is not granted', { type: 'get', key: 'shape' }],
  ['a value of another type', { type: 'get', key: ['colour'] }],
  ['a missing field', { type: 'get' }],
];
for (const [what, body] of denials) {
  broker(`${what} gets a typed error, and the channel goes on`, async () => {
    const { peer, served, records, violations } = await open();
    const [id, reply, error] = await peer.ask([3, body]);
    assert.is(id, 3);
    assert.is(reply, null);
    assert.is(error?.['type'], 'ErrorResponse');
    assert.is(error?.['error'], 'GENERIC_ERROR');
    assert.is((error?.['detail'] as { code: string }).code, 'ERR_BROKER_DENIED');
    assert.equal(records.map(({ outcome }) => outcome), ['denied']);
    assert.equal(await peer.ask([7, control]), answer);
    assert.is(violations.length, 0);
    await served[Symbol.asyncDispose]();
  });
}

const violations: readonly [what: string, message: unknown][] = [
  ['a message that is no array', control],
  ['an empty array', []],
  ['four elements', [1, control, null, null]],
  ['an id that is text', ['1', control]],
  ['a negative id', [-1, control]],
  ['an id with a fraction', [1.5, control]],
  ['an id beyond a number', [2n ** 60n, control]],
  ['a body that is text', [1, 'get']],
  ['a body that is an array', [1, ['get']]],
  ['a body that is a date', [1, new Date(0)]],
  ['a tracing context that is a number', [1, control, 5]],
];
for (const [what, message] of violations) {
  broker(`${what} ends the channel`, async () => {
    const { peer, served, violations: told } = await open();
    assert.equal(await peer.ask([7, control]), answer);
    if (what.includes('beyond')) peer.sendRaw(Uint8Array.from([0, 0, 0, 11, 0x92, 0xcf, 0x10, 0, 0, 0, 0, 0, 0, 0, 0xc0]));
    else peer.send(message);
    assert.equal(await peer.receive(1), []);
    await served.closed;
    assert.is(told.length, 1);
    assert.instance(told[0], BrokerViolation);
  });
}

broker('every request gets exactly one reply, whatever is in it', async () => {
  // A key __proto__ at any depth is a violation: see test/frame.ts.
  const json = fc.jsonValue().filter((value) => !JSON.stringify(value).includes('"__proto__":'));
  const field = fc.oneof(fc.constantFrom('get', 'put', 'colour', '__proto__', 'toString'), json);
  const body = fc.option(fc.dictionary(fc.constantFrom('type', 'key', 'constructor', 'x'), field, { noNullPrototype: true }));
  await fc.assert(fc.asyncProperty(fc.array(body, { minLength: 1, maxLength: 20 }), async (bodies) => {
    const { peer, served, violations: told } = await open();
    peer.send(...bodies.map((sent, id) => [id, sent]));
    const replies = await peer.receive(bodies.length);
    assert.equal(replies.map(([answered]) => answered).sort((a, b) => a - b), bodies.map((_, id) => id));
    assert.equal(await peer.ask([7, control]), answer);
    assert.is(told.length, 0);
    await served[Symbol.asyncDispose]();
  }), { numRuns: 200 });
});

broker('a tracing context is accepted and not used', async () => {
  const { peer, served } = await open();
  assert.equal(await peer.ask([7, control, { traceparent: 'x' }]), answer);
  await served[Symbol.asyncDispose]();
});

broker('an id may be used again once it was answered, not before', async () => {
  const { peer, served, violations: told } = await open({ get, wait: method({ params: Type.Object({}), handler: () => new Promise(() => {}) }) }, {});
  assert.equal(await peer.ask([7, control]), answer);
  assert.equal(await peer.ask([7, control]), answer);
  peer.send([8, { type: 'wait' }]);
  peer.send([8, control]);
  assert.equal(await peer.receive(1), []);
  assert.is(told.length, 1);
  served.close();
});

broker('the handler gets the copy that permit returned', async () => {
  const own = { key: 'colour', extra: 'of the policy' };
  let given: unknown;
  const { peer, served } = await open({ get: method({ params: Type.Object({ key: Type.String() }), permit: () => own, handler: (params) => { given = params; } }) });
  assert.equal(await peer.ask([1, { type: 'get', key: 'anything' }]), [1, null, null]);
  assert.is(given, own);
  await served[Symbol.asyncDispose]();
});

broker('a method granted once is gone after it, even for a request sent in the same write', async () => {
  let calls = 0;
  const { peer, served, records } = await open({ once: method({ params: Type.Object({}), once: true, handler: () => { calls++; } }) });
  peer.send([1, { type: 'once' }], [2, { type: 'once' }]);
  const replies = (await peer.receive(2)).sort(([a], [b]) => a - b);
  assert.equal(replies.map(([id, , error]) => [id, error?.['error']]), [[1, undefined], [2, 'GENERIC_ERROR']]);
  assert.is(calls, 1);
  assert.equal(records.map(({ outcome }) => outcome).sort(), ['allowed', 'denied']);
  await served[Symbol.asyncDispose]();
});

broker('a table changed after serving grants nothing more', async () => {
  const methods: Record<string, MethodTable[string]> = { get };
  const { peer, served } = await open(methods);
  methods['put'] = method({ params: Type.Object({}), handler: () => 'done' });
  const [, , error] = await peer.ask([1, { type: 'put' }]);
  assert.is((error?.['detail'] as { code?: string }).code, 'ERR_BROKER_DENIED');
  await served[Symbol.asyncDispose]();
});

const secret = 'hunter2-in-the-message';
const failures: readonly [what: string, thrown: unknown, error: string, code: string][] = [
  ['a server that refuses', new UpstreamFailed('GET /x', 403, 'forbidden', { cause: new Error(secret) }), 'API_SERVER_ERROR', 'ERR_UPSTREAM_FAILED'],
  ['a server that is away', new UpstreamUnreachable('GET /x', secret), 'GENERIC_ERROR', 'ERR_UPSTREAM_UNREACHABLE'],
  ['a bug', new TypeError(`cannot read ${secret}`), 'GENERIC_ERROR', 'ERR_BROKER_METHOD'],
  ['a system error', Object.assign(new Error(`ENOENT: open '/${secret}'`), { code: 'ENOENT', path: secret }), 'GENERIC_ERROR', 'ERR_BROKER_METHOD'],
  ['a thrown string', secret, 'GENERIC_ERROR', 'ERR_BROKER_METHOD'],
];
for (const [what, thrown, error, code] of failures) {
  broker(`${what} is one typed reply, without its words`, async () => {
    const { peer, served, records } = await open({ get, fail: method({ params: Type.Object({}), handler: () => { throw thrown; } }) });
    const reply = await peer.ask([1, { type: 'fail' }]);
    assert.is(reply[2]?.['error'], error);
    assert.is((reply[2]?.['detail'] as { code: string }).code, code);
    assert.not.match(JSON.stringify([reply, records]), secret);
    assert.equal(records.map(({ outcome }) => outcome), ['failed']);
    assert.equal(await peer.ask([7, control]), answer);
    await served[Symbol.asyncDispose]();
  });
}

broker('a not-found is a body, for Airflow reads it there', async () => {
  const { peer, served } = await open({ get: method({ params: Type.Object({}), handler: () => errorResponse('VARIABLE_NOT_FOUND', { key: 'a' }) }) });
  assert.equal(await peer.ask([1, { type: 'get' }]), [1, { type: 'ErrorResponse', error: 'VARIABLE_NOT_FOUND', detail: { key: 'a' } }, null]);
  await served[Symbol.asyncDispose]();
});

broker('a reply that no frame can hold is a typed error', async () => {
  const rows = {
    get,
    large: method({ params: Type.Object({}), handler: () => 'x'.repeat(5000) }),
    odd: method({ params: Type.Object({}), handler: () => () => 1 }),
    // One of the handler's own is its author's alone.
    refusing: method({ params: Type.Object({}), handler: () => { throw Object.assign(new RangeError('hunter2'), { code: 'ERR_OUT_OF_RANGE' }); } }),
  };
  const { peer, served } = await open(rows, { limits: { maxFrameBytes: 4096 } });
  for (const [type, code] of [['large', 'ERR_OUT_OF_RANGE'], ['odd', 'ERR_BROKER_METHOD'], ['refusing', 'ERR_BROKER_METHOD']]) {
    const [, body, error] = await peer.ask([1, { type }]);
    assert.equal([body, (error?.['detail'] as { code?: string }).code], [null, code]);
    assert.not.match(JSON.stringify(error), 'hunter2');
  }
  assert.equal(await peer.ask([7, control]), answer);
  await served[Symbol.asyncDispose]();
});

broker('what a task calls a method is cut and cleaned before it is recorded', async () => {
  const { peer, served, records } = await open();
  await peer.ask([1, { type: `a\n\u001b[2J${'x'.repeat(100_000)}\ud83d` }]);
  assert.is(records[0]?.method.length, 64);
  assert.match(records[0]?.method ?? '', /^a\?\?\[2Jx+$/);
  assert.ok((records[0]?.reason ?? '').length < 200);
  await served[Symbol.asyncDispose]();
});

broker('nothing is answered unaudited', async () => {
  let broken = true;
  const { peer, served } = await open({ get }, { audit: () => { if (broken) throw new Error(secret); } });
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
  const [, body, error] = await peer.ask([7, control]);
  assert.is(body, null);
  assert.is((error?.['detail'] as { code?: string }).code, 'ERR_BROKER_METHOD');
  assert.is((await warned).name, 'SallyportWarning');
  broken = false;
  assert.equal(await peer.ask([7, control]), answer);
  await served[Symbol.asyncDispose]();
});

broker('each record is published for the whole process', async () => {
  const seen: unknown[] = [];
  const subscriber = (entry: unknown) => { seen.push(entry); };
  diagnosticsChannel('sallyport:request').subscribe(subscriber);
  const { peer, served, records } = await open();
  await peer.ask([7, control]);
  diagnosticsChannel('sallyport:request').unsubscribe(subscriber);
  assert.is(seen[0], records[0]);
  await served[Symbol.asyncDispose]();
});

broker('a message can be sent unprompted, until the channel is closed', async () => {
  const { peer, served } = await open();
  served.send(0, { type: 'StartupDetails' });
  assert.equal(await peer.receive(1), [[0, { type: 'StartupDetails' }, null]]);
  served.close();
  assert.throws(() => served.send(0, null), (error: { code: string }) => error.code === 'ERR_BROKER_CLOSED');
  await served.closed;
});

broker('closing aborts what handlers wait for; the end of the task does not', async () => {
  const wait = method({
    params: Type.Object({}),
    handler: (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(null))),
  });
  const { far, peer, served, records } = await open({ wait, get });
  peer.send([1, { type: 'wait' }]);
  assert.equal(await peer.ask([7, control]), answer);
  far.end();
  assert.is(await Promise.race([served.closed, new Promise((resolve) => setTimeout(resolve, 50, 'open'))]), 'open');
  served.close();
  await served.closed;
  assert.equal(records.map(({ id }) => id), [7, 1]);
});

broker('misuse is told at once', async () => {
  const { near, far } = await socketPair();
  const code = (options: unknown) => {
    try {
      serve(near, options as ServeOptions);
      return undefined;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  assert.is(code({}), 'ERR_INVALID_ARG_TYPE');
  assert.is(code({ methods: {} }), 'ERR_INVALID_ARG_TYPE');
  assert.is(code({ methods: {}, onViolation: () => {}, limits: { maxFrameBytes: 10 } }), 'ERR_OUT_OF_RANGE');
  assert.is(code({ methods: {}, onViolation: () => {}, limits: { maxDepth: 0 } }), 'ERR_OUT_OF_RANGE');
  assert.is(code({ methods: {}, onViolation: () => {} }), undefined);
  near.destroy();
  far.destroy();
});

broker.run();
