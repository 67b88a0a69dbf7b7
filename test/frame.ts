import { decode, encode, ExtData } from '@msgpack/msgpack';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FrameDecoder, defaultFrameLimits, encodeFrame, encodeRequest, type FrameLimits } from '../lib/broker/frame.js';
import { BrokerViolation } from '../lib/errors.js';

const frame = suite('frame');

function decodeAll(chunks: Uint8Array[], limits: Partial<FrameLimits> = {}): unknown[] {
  const decoder = new FrameDecoder(limits);
  return chunks.flatMap((chunk) => [...decoder.push(chunk)].map(({ value }) => value));
}

/** A frame around bytes that need not be msgpack. */
function framed(...body: (number | Uint8Array)[]): Uint8Array {
  const bytes = body.flatMap((part) => (typeof part === 'number' ? [part] : [...part]));
  const header = new Uint8Array(4);
  new DataView(header.buffer).setUint32(0, bytes.length);
  return Uint8Array.from([...header, ...bytes]);
}

function refused(bytes: Uint8Array, limits: Partial<FrameLimits> = {}): void {
  try {
    decodeAll([bytes], limits);
  } catch (error) {
    assert.instance(error, BrokerViolation);
    assert.is((error as BrokerViolation).code, 'ERR_BROKER_VIOLATION');
    return;
  }
  assert.unreachable('accepted');
}

const scalar = fc.oneof(fc.string({ unit: 'grapheme' }), fc.double({ noNaN: true }), fc.maxSafeInteger(), fc.boolean(), fc.constant(null), fc.date({ noInvalidDate: true, min: new Date(-8e15), max: new Date(8e15) }));
const key = fc.string({ unit: 'grapheme' }).filter((name) => name !== '__proto__');
const message = fc.letrec((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, scalar, fc.array(tie('value')), fc.dictionary(key, tie('value'), { noNullPrototype: true })),
})).value;

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let at = 0;
  for (const size of sizes) {
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return [...chunks, bytes.subarray(at)];
}

frame('a value comes back as it went, however the stream was cut', () => {
  fc.assert(fc.property(fc.array(message, { maxLength: 5 }), fc.array(fc.nat(40)), (values, sizes) => {
    const bytes = Buffer.concat(values.map((value) => encodeFrame(value)));
    assert.equal(decodeAll(cut(bytes, sizes)), values);
  }), { numRuns: 300 });
});

frame('a stream of single bytes gives the same frames', () => {
  const values = [[1, { type: 'GetVariable', key: 'a' }], [2, null]];
  const bytes = Buffer.concat(values.map((value) => encodeFrame(value)));
  assert.equal(decodeAll([...bytes].map((byte) => Uint8Array.of(byte))), values);
});

/** What the frame holds by the word of another decoder, in which every 64-bit integer is a bigint. */
function reference(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (Array.isArray(value)) return value.map(reference);
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, reference(entry)]));
}

/** Whether the body is taken, and then for what another decoder takes it for. */
function taken(body: Uint8Array): boolean {
  let values: unknown[];
  try {
    values = decodeAll([framed(body)]);
  } catch (error) {
    assert.instance(error, BrokerViolation);
    return false;
  }
  assert.equal(values, [reference(decode(body, { useBigInt64: true }))]);
  return true;
}

frame('random bytes never give anything but frames or a violation', () => {
  let count = 0;
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 12 }), (long, short) => {
    for (const body of [long, short]) if (body.length > 0 && taken(body)) count++;
  }), { numRuns: 3000 });
  assert.ok(count > 20, `${count} were frames`);
});

frame('every format with any content is taken as another decoder takes it', () => {
  const rest = fc.uint8Array({ minLength: 20, maxLength: 20 });
  const widths: Record<number, number> = { 0xca: 4, 0xcb: 8, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8 };
  fc.assert(fc.property(fc.constantFrom(...Object.keys(widths).map(Number)), rest, fc.boolean(), (format, content, isSmall) => {
    if (isSmall) content.fill(content[0]! & 0x80 ? 0xff : 0, 0, 2); // else no 64-bit integer is ever one that a number holds
    assert.ok(taken(Uint8Array.of(format, ...content.subarray(0, widths[format]))));
  }), { numRuns: 2000 });
  for (const type of [0xd6, 0xd7]) {
    fc.assert(fc.property(rest, (content) => {
      content[0]! &= 0x7f; // a nanosecond count below 10^9 is found among these
      taken(Uint8Array.of(type, 0xff, ...content.subarray(0, type === 0xd6 ? 4 : 8)));
    }), { numRuns: 500 });
  }
  for (const exact of [2 ** 53 - 1, 2 ** 53, -(2 ** 53) + 1, -(2 ** 53), 0, -1]) assert.ok(taken(encode(BigInt(exact), { useBigInt64: true })));
});

frame('text of every length and script comes back as it went', () => {
  for (const sign of ['a', 'é', '€', '😀', 'aé€😀', '\uffff\u0000']) {
    for (const length of [0, 1, 8, 31, 32, 63, 64, 65, 255, 256, 511, 512, 513, 3000, 70_000]) {
      const text = sign.repeat(Math.ceil(length / sign.length));
      assert.equal(decodeAll([encodeFrame([text, { [text]: 1 }])]), [[text, { [text]: 1 }]]);
    }
  }
});

frame('bytes are a copy: a chunk is not kept for them', () => {
  const chunk = encodeFrame([new Uint8Array([1, 2, 3])]);
  const [[bytes]] = decodeAll([Buffer.from(chunk)]) as [[Uint8Array]];
  assert.equal(bytes, new Uint8Array([1, 2, 3]));
  assert.is(bytes.buffer.byteLength, 3);
});

frame('a good message with bytes changed never gives anything but frames or a violation', () => {
  fc.assert(fc.property(message, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), (value, changes) => {
    const bytes = encodeFrame(value);
    for (const [at, byte] of changes) bytes[4 + (at % (bytes.length - 4))] = byte;
    taken(bytes.subarray(4));
  }), { numRuns: 3000 });
});

// Each refusal beside the control that differs in the one thing that is refused.
const fix = (text: string): Uint8Array => encode(text);
const matrix: readonly [what: string, control: Uint8Array, bad: Uint8Array, limits?: Partial<FrameLimits>][] = [
  ['a frame without a body', framed(0xc0), framed()],
  ['a frame longer than the limit', framed(0xd9, 98, ...Array<number>(98).fill(0x61)), framed(0xd9, 99, ...Array<number>(99).fill(0x61)), { maxFrameBytes: 100 }],
  ['bytes after the value', framed(0xc0), framed(0xc0, 0xc0)],
  ['a value cut short', framed(0xa2, 0x61, 0x61), framed(0xa2, 0x61)],
  ['the byte that msgpack never uses', framed(0x91, 0xc0), framed(0x91, 0xc1)],
  ['one level too many', framed(0x91, 0x91, 0xc0), framed(0x91, 0x91, 0x91, 0xc0), { maxDepth: 2 }],
  ['one value too many', framed(0x93, 1, 2, 3), framed(0x94, 1, 2, 3, 4), { maxValues: 4 }],
  ['one key too many', framed(0x82, fix('a'), 1, fix('b'), 2), framed(0x83, fix('a'), 1, fix('b'), 2, fix('c'), 3), { maxKeys: 2 }],
  ['a key that counts for many', framed(0x81, fix('a'.repeat(127)), 1), framed(0x81, fix('a'.repeat(128)), 1), { maxValues: 4 }],
  ['an array that announces four thousand million entries', framed(0xdd, 0, 0, 0, 1, 0xc0), framed(0xdd, 0xff, 0xff, 0xff, 0xff)],
  ['a map that announces four thousand million entries', framed(0xdf, 0, 0, 0, 1, fix('a'), 0xc0), framed(0xdf, 0xff, 0xff, 0xff, 0xff)],
  ['text that announces four thousand million bytes', framed(0xdb, 0, 0, 0, 1, 0x61), framed(0xdb, 0xff, 0xff, 0xff, 0xff, 0x61)],
  ['the key __proto__', framed(0x81, fix('__prot0__'), 0xc0), framed(0x81, fix('__proto__'), 0xc0)],
  ['the key __proto__ in a longer form', framed(0x81, 0xd9, 9, Buffer.from('__prot0__'), 0xc0), framed(0x81, 0xd9, 9, Buffer.from('__proto__'), 0xc0)],
  ['a key that is a number', framed(0x81, fix('1'), 0xc0), framed(0x81, 1, 0xc0)],
  ['a key that is a map', framed(0x81, fix('1'), 0x80), framed(0x81, 0x80, fix('1'))],
  ['text that is not UTF-8', framed(0xa2, 0xc3, 0xa9), framed(0xa2, 0xc3, 0x28)],
  ['text with half a surrogate pair', framed(0xa3, 0xe2, 0x82, 0xac), framed(0xa3, 0xed, 0xa0, 0x80)],
  ['long text that is not UTF-8', framed(0xd9, 80, ...Array<number>(80).fill(0x61)), framed(0xd9, 80, ...Array<number>(79).fill(0x61), 0xff)],
  ['an extension that is not a timestamp', framed(0xd6, 0xff, 0, 0, 0, 1), framed(encode(new ExtData(5, Uint8Array.of(0, 0, 0, 1))))],
  ['a timestamp of no known length', framed(0xd7, 0xff, ...Array<number>(8).fill(0)), framed(0xd5, 0xff, 0, 0)],
  ['a timestamp of more nanoseconds than a second has', framed(0xd7, 0xff, 0xee, 0x6b, 0x27, 0xfc, 0, 0, 0, 0), framed(0xd7, 0xff, 0xee, 0x6b, 0x28, 0, 0, 0, 0, 0)],
  ['a timestamp that no Date can hold', framed(0xc7, 12, 0xff, ...Array<number>(12).fill(0)), framed(0xc7, 12, 0xff, 0, 0, 0, 0, 0x7f, ...Array<number>(7).fill(0xff))],
];
for (const [what, control, bad, limits] of matrix) {
  frame(`${what} is a violation`, () => {
    assert.is(decodeAll([control], limits).length, 1);
    refused(bad, limits);
  });
}

frame('four million empty maps are refused before one is made', () => {
  const bytes = new Uint8Array(4 + (4 << 20)).fill(0x80);
  bytes.set([0, 0x40, 0, 0, 0xdd, 0, 0x3f, 0xff, 0xfb]);
  const before = process.memoryUsage().heapUsed;
  refused(bytes);
  assert.ok(process.memoryUsage().heapUsed - before < 10 << 20);
});

frame('a length that is announced takes no memory', () => {
  const decoder = new FrameDecoder({ maxFrameBytes: 1 << 30 });
  const before = process.memoryUsage().arrayBuffers;
  const decoders = Array.from({ length: 50 }, () => {
    const one = new FrameDecoder({ maxFrameBytes: 1 << 30 });
    assert.is([...one.push(Uint8Array.of(0x3f, 0xff, 0xff, 0xff, 0xc0))].length, 0);
    return one;
  });
  assert.ok(process.memoryUsage().arrayBuffers - before < 1 << 20);
  assert.is(decoders.length, 50);
  assert.is([...decoder.push(framed(0xc0))].length, 1); // control
});

frame('integers beyond a number stay exact, those within stay numbers', () => {
  assert.equal(decodeAll([framed(0x93, encode(2n ** 63n, { useBigInt64: true }), encode(-(2n ** 60n), { useBigInt64: true }), encode(5n, { useBigInt64: true }))]), [[2n ** 63n, -(2n ** 60n), 5]]);
  assert.equal(decodeAll([encodeFrame([5_000_000_000, new Date(0)])]), [[5_000_000_000, new Date(0)]]);
});

frame('what cannot be sent is refused with a code', () => {
  const code = (make: () => unknown): unknown => {
    try {
      return make();
    } catch (error) {
      return (error as { code?: unknown }).code;
    }
  };
  assert.is(code(() => encodeFrame('a'.repeat(101), { maxFrameBytes: 100 })), 'ERR_OUT_OF_RANGE');
  for (const lost of [new Map(), new Set([1]), /a/, new Error('x'), Promise.resolve()]) assert.is(code(() => encodeRequest([1, { a: [{ lost }] }], 'value')), 'ERR_INVALID_ARG_TYPE');
  class Point { x = 1; }
  for (const kept of [{}, [], new Date(), new Uint8Array(3), new Point(), Object.create(null), null, 'Map']) assert.instance(encodeRequest([1, { a: [{ kept }] }], 'value'), Uint8Array);
  assert.is(code(() => encodeFrame({ f: () => 1 })), 'ERR_INVALID_ARG_TYPE');
  assert.throws(() => encodeRequest([1, { value: [10n] }], 'SetXCom'), /^"SetXCom" must be made of values .*, and has a BigInt$/);
  let deep: unknown = 1;
  for (let depth = 0; depth < 600; depth++) deep = [deep];
  assert.is(code(() => encodeFrame(deep)), 'ERR_OUT_OF_RANGE');
  assert.instance(code(() => encodeFrame('a'.repeat(90), { maxFrameBytes: 100 })), Uint8Array);
});

/** Processor time of the whole process: the least of some runs, for others share the machine. */
function cpuMs(run: (round: number) => void): number {
  let least = Infinity;
  for (let round = 0; round < 7; round++) {
    const before = process.cpuUsage();
    run(round);
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}

const { maxValues, maxFrameBytes, maxKeys } = defaultFrameLimits;
const spare = 100;
const pairs = (maxValues - spare) / 2;
/** The keys are new ones each time: V8 knows those it has seen. */
const maps = (round: number, count: number, width: number, value: unknown): unknown =>
  Array.from({ length: count }, (_, map) => Object.fromEntries(Array.from({ length: width }, (_, key) => [`k${round}_${map}_${key}`, value])));
const large: Record<string, (round: number) => unknown> = {
  'wide maps': (round) => maps(round, Math.floor(pairs / (maxKeys ?? pairs)), Math.min(pairs, maxKeys ?? pairs), null),
  'wide maps of 64-bit integers': (round) => maps(round, Math.floor(pairs / (maxKeys ?? pairs)), Math.min(pairs, maxKeys ?? pairs), 2n ** 63n),
  'small maps, no two alike': (round) => maps(round, Math.floor(pairs / 9), 8, null),
  'dates': () => Array.from({ length: maxValues - spare }, (_, at) => new Date(at)),
  'text with accents': () => 'é'.repeat(maxFrameBytes / 2 - spare),
};
for (const [what, make] of Object.entries(large)) {
  frame(`the largest frame of ${what} is read in little time`, () => {
    const frames = Array.from({ length: 7 }, (_, round) => {
      const body = encode([round, make(round)], { useBigInt64: true });
      return Buffer.concat([Uint8Array.of(body.length >> 24, body.length >> 16, body.length >> 8, body.length), body]);
    });
    const ms = cpuMs((round) => assert.is(decodeAll([frames[round] as Buffer]).length, 1));
    assert.ok(ms < 20, `${ms} ms of processor time`);
  });
}

frame('what would end the task is refused where it is sent', () => {
  const refusal = (make: () => unknown): unknown => {
    try {
      make();
      return undefined;
    } catch (error) {
      return [(error as { code?: unknown }).code, (error as Error).message];
    }
  };
  const wide = (keys: number): unknown => Object.fromEntries(Array.from({ length: keys }, (_, at) => [`k${at}`, at]));
  const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)]);
  const rows: [good: unknown, bad: unknown, words: string][] = [
    [wide(maxKeys), wide(maxKeys + 1), 'more than 4096 keys in a map'],
    [Array(maxValues - 1).fill(1), Array(maxValues).fill(1), 'more than 16384 values in a frame'],
    [deep(32), deep(33), 'values nested more than 32 deep'],
    [{ a: 1 }, JSON.parse('{"__proto__":1}'), 'the map key __proto__'],
  ];
  for (const [good, bad, words] of rows) {
    assert.is(refusal(() => encodeRequest(good, 'SetXCom')), undefined);
    assert.equal(refusal(() => encodeRequest(bad, 'SetXCom')), ['ERR_OUT_OF_RANGE', `"SetXCom" must be a request that a supervisor accepts, not one with ${words}`]);
    refused(encodeFrame(bad)); // control: it would have been
  }
  assert.equal(refusal(() => encodeRequest('x'.repeat(maxFrameBytes), 'SetXCom')), ['ERR_OUT_OF_RANGE', `"SetXCom" must be at most ${maxFrameBytes} bytes when encoded`]);
});

frame.run();
