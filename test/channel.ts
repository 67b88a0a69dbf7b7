import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Channel, defaultChannelLimits, type ChannelLimits } from '../lib/broker/channel.js';
import { encodeFrame } from '../lib/broker/frame.js';
import { Lane } from '../lib/broker/turns.js';
import { BrokerViolation } from '../lib/errors.js';
import { Peer, settled } from './helpers/peer.js';
import { socketPair } from './helpers/socket-pair.js';

const channel = suite('channel');

type Handler = (value: [number, unknown]) => unknown;

async function open(handler: Handler, limits: Partial<ChannelLimits> = {}, isAtOnce = false) {
  const { near, far } = await socketPair();
  const violations: BrokerViolation[] = [];
  const reply = (value: unknown, body: unknown) => encodeFrame([(value as [number])[0], body, null]);
  const answer = isAtOnce ? (value: unknown) => reply(value, handler(value as [number, unknown])) : async (value: unknown) => reply(value, await handler(value as [number, unknown]));
  const side = new Channel(near, { ...defaultChannelLimits, ...limits }, new Lane(), answer, (violation) => violations.push(violation));
  return { near, far, side, violations, peer: new Peer(far) };
}

channel('each frame is answered once, and the end of the stream is a clean end', async () => {
  const { far, peer, side, near, violations } = await open(([, body]) => body);
  peer.send([1, { a: 1 }], [2, null]);
  far.end();
  assert.equal(await peer.receive(3), [[1, { a: 1 }, null], [2, null, null]]);
  await side.closed;
  assert.is(violations.length, 0);
  assert.throws(() => side.write(encodeFrame([0])), (error: { code: string }) => error.code === 'ERR_BROKER_CLOSED');
  near.destroy();
});

channel('requests that were read are answered although the peer has closed its side', async () => {
  const { far, peer, side, near } = await open(async ([, body]) => { await delay(30); return body; });
  peer.send([1, { late: true }]);
  far.end();
  assert.equal(await peer.receive(1), [[1, { late: true }, null]]);
  await side.closed;
  near.destroy();
});

channel('who is told of a violation and throws keeps no other channel from its turn, from the queue either', async () => {
  for (const isQueued of [false, true]) {
    const { near, far } = await socketPair();
    const busy = (): void => { for (const since = performance.now(); performance.now() - since < 3; ); };
    const answer = (value: unknown): Uint8Array => {
      if (value === 'bad') throw new BrokerViolation('a frame that is bad');
      busy(); // so that what comes next waits for the next turn
      return encodeFrame(value);
    };
    const side = new Channel(near, defaultChannelLimits, new Lane(), answer, () => { throw new Error('of the listener'); });
    const thrown = once(process, 'uncaughtException');
    far.write(Buffer.concat([...(isQueued ? [encodeFrame('first')] : []), encodeFrame('bad')]));
    assert.is(((await thrown) as [Error])[0].message, 'of the listener');
    await side.closed;
    const other = await open(([, body]) => body, {}, true);
    assert.equal(await other.peer.ask([1, { a: 1 }]), [1, { a: 1 }, null]);
    other.side.close();
    far.destroy();
  }
});

channel('a peer that closes its side, takes no reply and is gone then is an end like any other', async () => {
  for (const takes of [true, false]) {
    const { near, far, peer, side } = await open(() => 'x'.repeat(20_000), {}, true);
    if (!takes) far.pause();
    peer.send(...Array.from({ length: 500 }, (_, id) => [id, null]));
    far.end();
    if (takes) await peer.receive(500); // control
    else await once(near, 'end');
    assert.is(near.writableNeedDrain, !takes);
    far.destroy();
    await Promise.race([side.closed, delay(10_000).then(() => assert.unreachable('it never closes'))]);
    near.destroy();
  }
});

channel('a frame cut short by the end is dropped', async () => {
  const { far, peer, side, near, violations } = await open(([, body]) => body);
  peer.send([1, null]);
  peer.sendRaw(encodeFrame([2, null]).subarray(0, 5));
  far.end();
  assert.equal(await peer.receive(2), [[1, null, null]]);
  await side.closed;
  assert.is(violations.length, 0);
  near.destroy();
});

channel('a peer that never reads is not read either, and goes on when it does', async () => {
  let calls = 0;
  const answer = 'x'.repeat(10_000);
  const { near, peer, side } = await open(() => { calls++; return answer; });
  const total = 3000; // 30 MB of replies
  for (let id = 1; id <= total; id++) peer.send([id, null]);
  const seen = await settled(() => calls);
  assert.ok(seen < 500, `answered ${seen} requests without one reply being read`);
  assert.ok(near.writableLength < 1 << 20, `${near.writableLength} bytes kept`);
  const replies = await peer.receive(total); // control: nothing was lost
  assert.equal(replies.map(([id]) => id), Array.from({ length: total }, (_, index) => index + 1));
  side.close();
  await side.closed;
});

channel('no more requests are taken than may be outstanding', async () => {
  let open_ = 0;
  let most = 0;
  const { peer, side } = await open(async () => {
    most = Math.max(most, ++open_);
    await delay(1);
    open_--;
  }, { maxOutstanding: 5 });
  const total = 200;
  peer.send(...Array.from({ length: total }, (_, id) => [id, null]));
  assert.is((await peer.receive(total)).length, total);
  assert.is(most, 5);
  side.close();
  await side.closed;
});

channel('what outstanding requests occupy is bounded', async () => {
  let calls = 0;
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => { release = resolve; });
  const { peer, side } = await open(async () => { calls++; await gate; }, { maxOutstandingBytes: 1 << 20 });
  for (let id = 0; id < 20; id++) peer.send([id, { text: 'x'.repeat(200_000) }]);
  assert.is(await settled(() => calls), 6); // the sixth passes the 1 MiB
  release();
  assert.is((await peer.receive(20)).length, 20); // control
  side.close();
  await side.closed;
});

channel('a violation ends the channel at once: nothing behind it is answered', async () => {
  const seen: number[] = [];
  const { peer, side, violations } = await open(([id]) => { seen.push(id); });
  assert.equal(await peer.ask([1, null]), [1, null, null]); // control
  peer.sendRaw(Buffer.concat([encodeFrame([2, null]), Uint8Array.of(0, 0, 0, 1, 0xc1), encodeFrame([3, null])]));
  await side.closed;
  assert.equal(seen, [1, 2]);
  assert.equal(violations.map(({ code }) => code), ['ERR_BROKER_VIOLATION']);
  await peer.receive(9); // the peer sees the end
});

channel('closing while requests are outstanding waits for them and answers nothing', async () => {
  let done = false;
  let begin = (): void => {};
  const begun = new Promise<void>((resolve) => { begin = resolve; });
  const { peer, side } = await open(async () => { begin(); await delay(20); done = true; });
  peer.send([1, null]);
  await begun;
  side.close();
  await side.closed;
  assert.ok(done);
  assert.equal(await peer.receive(1), []);
});

/** Does what takes this long by the clock that the queue looks at, however busy the machine is. */
function spend(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

/** How many requests are dealt with in one turn of the event loop, at the most, by so many channels that each send so many at once. */
async function mostInOneTurn(channels: number, requests: number, isAtOnce: boolean, work: () => void): Promise<number> {
  let now = 0;
  let most = 0;
  const open_ = await Promise.all(Array.from({ length: channels }, () => open(() => { most = Math.max(most, ++now); work(); }, {}, isAtOnce)));
  let watching = true;
  const watch = (): void => {
    now = 0;
    if (watching) setImmediate(watch);
  };
  watch();
  for (const { peer } of open_) peer.send(...Array.from({ length: requests }, (_, id) => [id]));
  for (const { peer } of open_) assert.is((await peer.receive(requests)).length, requests);
  watching = false;
  for (const { side } of open_) side.close();
  await Promise.all(open_.map(({ side }) => side.closed));
  return most;
}

// The queue ends a turn after 10 ms: in one there begin a request at 0, 4 and 8 ms, and none after them.
for (const isAtOnce of [true, false]) {
  const how = isAtOnce ? 'that are answered at once' : 'that are answered later';
  channel(`a chunk full of requests ${how} leaves other tasks their turn`, async () => {
    const most = await mostInOneTurn(1, 40, isAtOnce, () => spend(4));
    assert.ok(most <= 3, `${most} requests in one turn of the event loop`);
  });

  channel(`twelve channels with requests ${how} take no more of a turn than one`, async () => {
    const most = await mostInOneTurn(12, 4, isAtOnce, () => spend(4));
    assert.ok(most <= 3, `${most} requests in one turn of the event loop`);
  });

  channel(`many small requests ${how} are dealt with in one turn`, async () => {
    const most = await mostInOneTurn(2, 1000, isAtOnce, () => {});
    assert.ok(most > 16, `${most} requests in one turn of the event loop`);
  });
}

/** How many requests of 12 ms each, by channels that ask for eight, eight small ones of another channel waited for. */
async function waitedFor(): Promise<number> {
  let heavy = 0;
  const hogs = await Promise.all(Array.from({ length: 12 }, () => open(() => { heavy++; spend(12); })));
  for (const { peer } of hogs) peer.send(...Array.from({ length: 8 }, (_, id) => [id]));
  const { peer, side } = await open(([, body]) => body);
  try {
    // At once: the peer lives in this process as well, and what it sends and reads waits for turns of the same loop.
    peer.send(...Array.from({ length: 8 }, (_, id) => [id, { id }]));
    assert.is((await peer.receive(8)).length, 8);
    const waited = heavy;
    for (const hog of hogs) assert.is((await hog.peer.receive(8)).length, 8); // control: these wait longer, and are answered
    return waited;
  } finally {
    for (const each of [side, ...hogs.map((hog) => hog.side)]) {
      each.close();
      await each.closed;
    }
  }
}

channel('who asks for little does not wait for all who ask for much', async () => {
  // The least of some: time in which the machine is with others is charged to whom it was taken from, and who asks for little may be that.
  let least = Infinity;
  for (let round = 0; round < 3 && least > 48; round++) least = Math.min(least, await waitedFor());
  assert.ok(least <= 48, `8 small requests waited for ${least} of the others`); // all 96, for one that waits its turn behind all the others
});

channel('a peer that is gone is an end, whatever was on its way', async () => {
  const { far, peer, side, violations } = await open(() => 'x'.repeat(100_000));
  peer.send(...Array.from({ length: 50 }, (_, id) => [id, null]));
  await peer.receive(1);
  far.destroy();
  await side.closed;
  assert.is(violations.length, 0);
});

channel.run();
