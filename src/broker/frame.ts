/**
 * The wire: a 4-byte big-endian length, then one msgpack value. The same file serves the task's side,
 * so it may import nothing of the trusted side but the errors. Bytes from a task are hostile: see unpack.ts.
 */

import { Encoder } from '@msgpack/msgpack';
import { BrokerViolation, invalidArgument, outOfRange } from '../errors.js';
import { unpack, type ValueLimits } from './unpack.js';

export interface FrameLimits extends ValueLimits {
  /** The longest frame, without its 4-byte length. @default 4 MiB, as OpenSSH's MONITOR_MAX_MSGLEN */
  readonly maxFrameBytes: number;
}

export const defaultFrameLimits: FrameLimits = Object.freeze({ maxFrameBytes: 4 << 20, maxDepth: 32, maxValues: 1 << 14, maxKeys: 1 << 12 });

/** One decoded frame. */
export interface Frame {
  readonly value: unknown;
  /** About what `value` occupies: its bytes on the wire and 168 for each value. Quotas count in it. */
  readonly cost: number;
}

const headerBytes = 4;
const none: Uint8Array = new Uint8Array(0);
const bytesPerValue = 168; // an empty Uint8Array of V8's, the most that two bytes of msgpack grow to

/**
 * One frame, header included, to be written at once: Airflow's older children read the header with a single recv(4).
 *
 * @param name What errors call the value.
 * @throws `ERR_OUT_OF_RANGE`: longer than `maxFrameBytes`, or nested more than 512 deep.
 * @throws `ERR_INVALID_ARG_TYPE`: holds something msgpack has no form for, such as a function.
 */
export function encodeFrame(value: unknown, { maxFrameBytes }: Pick<FrameLimits, 'maxFrameBytes'> = defaultFrameLimits, name = 'frame'): Uint8Array {
  const body = encodeBody(value, name);
  const { length } = body;
  try {
    if (length > maxFrameBytes) throw outOfRange(name, `at most ${maxFrameBytes} bytes when encoded`);
    const frame = new Uint8Array(headerBytes + length);
    frame[0] = length >>> 24;
    frame[1] = length >>> 16;
    frame[2] = length >>> 8;
    frame[3] = length;
    frame.set(body, headerBytes);
    return frame;
  } finally {
    if (length > keptBytes) encoder = newEncoder();
    else body.fill(0); // it may have been a password
  }
}

/**
 * A frame that a supervisor accepts: what would have ended the task is told to its sender.
 *
 * @throws As `encodeFrame`; `ERR_OUT_OF_RANGE` also for what is beyond the other default limits.
 */
export function encodeRequest(value: unknown, name: string): Uint8Array {
  const frame = encodeFrame(value, defaultFrameLimits, name);
  const lost = lostIn(value);
  if (lost !== undefined) throw withoutForm(name, lost);
  try {
    unpack(frame.subarray(headerBytes), defaultFrameLimits);
  } catch (error) {
    throw error instanceof BrokerViolation ? outOfRange(name, `a request that a supervisor accepts, not one with ${error.violation}`) : error;
  }
  return frame;
}

/** To make one takes longer than to encode what most messages are. It writes into memory of its own, of which no more is kept than this. */
const keptBytes = 1 << 16;
const newEncoder = (): Encoder => new Encoder({ maxDepth: 512, ignoreUndefined: true, initialBufferSize: 1 << 12 });
let encoder = newEncoder();

/** @returns The encoder's own memory: to be copied, and wiped, before anything else is encoded. */
function encodeBody(value: unknown, name: string): Uint8Array {
  try {
    return encoder.encodeSharedRef(value);
  } catch (cause) {
    encoder = newEncoder();
    if (cause instanceof Error && cause.message.startsWith('Too deep')) throw outOfRange(name, 'at most 512 levels deep');
    const [, foreign] = /^Unrecognized object: \[object (\w+)\]$/.exec(cause instanceof Error ? cause.message : '') ?? [];
    if (foreign === undefined) throw invalidArgument(name, 'made of values that msgpack has a form for', value);
    throw withoutForm(name, foreign);
  }
}

function withoutForm(name: string, foreign: string): TypeError {
  return Object.assign(new TypeError(`"${name}" must be made of values that msgpack has a form for, and has a ${foreign}`), { code: 'ERR_INVALID_ARG_TYPE' as const });
}

/** What has something in it that is no field, so that the encoder, which sees fields alone, would make an empty map of it. */
const fieldless: ReadonlySet<string> = new Set(['Error', 'Map', 'Promise', 'RegExp', 'Set', 'WeakMap', 'WeakSet']);

/** Of what could be encoded, and so has no circle. */
function lostIn(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return undefined;
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (fieldless.has(kind)) return kind;
  for (const part of Array.isArray(value) ? (value as unknown[]) : Object.values(value)) {
    const lost = lostIn(part);
    if (lost !== undefined) return lost;
  }
  return undefined;
}

/** What JSON.stringify would write faithfully: msgpack also has bytes, dates, NaN and integers beyond a number. */
function isJson(value: unknown): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value);
  if (Array.isArray(value)) return value.every(isJson);
  return typeof value === 'object' && isPlain(value) && Object.values(value).every(isJson);
}

const isPlain = (value: object): boolean => Object.getPrototypeOf(value) === Object.prototype;

/** Where the first value is that JSON has no form for, by its fields' names, and a word for its kind, never the value; undefined: there is none. */
export function notJson(value: unknown): { readonly path: string; readonly kind: string } | undefined {
  return isJson(value) ? undefined : firstNotJson(value);
}

function firstNotJson(value: unknown): { readonly path: string; readonly kind: string } | undefined {
  if (value === null || typeof value !== 'object' || !(Array.isArray(value) || isPlain(value))) return isJson(value) ? undefined : { path: '', kind: kindOf(value) };
  for (const [name, item] of Object.entries(value)) {
    const found = firstNotJson(item);
    if (found !== undefined) return { path: `/${name}${found.path}`, kind: found.kind };
  }
  return undefined;
}

function kindOf(value: unknown): string {
  if (typeof value === 'number') return Number.isNaN(value) ? 'NaN' : 'Infinity';
  if (typeof value !== 'object') return typeof value;
  return value instanceof Date ? 'Date' : value instanceof Uint8Array ? 'bytes' : 'an object of another kind';
}

/**
 * Cuts a byte stream into frames. Memory is taken for bytes that have arrived, never for a length that was announced,
 * and each byte is copied a bounded number of times however it was chunked.
 */
export class FrameDecoder {
  readonly #limits: FrameLimits;
  #chunk = none;
  #offset = 0;
  #headerLength = 0;
  /** The body's announced length, once the header is whole. */
  #wanted = 0;
  #body = none;
  #bodyLength = 0;

  constructor(limits: Partial<FrameLimits> = {}) {
    this.#limits = { ...defaultFrameLimits, ...limits };
  }

  /**
   * The frames that end in `chunk`, each decoded when it is asked for. Exhaust it before the next chunk.
   *
   * @throws {BrokerViolation} `ERR_BROKER_VIOLATION`: not a frame within the limits; this decoder is of no more use.
   */
  *push(chunk: Uint8Array): Generator<Frame, void, undefined> {
    for (this.feed(chunk); !this.isEmpty; ) {
      const frame = this.next();
      if (frame !== undefined) yield frame;
    }
  }

  /** A chunk for `next`, which must not change meanwhile; the one before must be used up. */
  feed(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#offset = 0;
  }

  /** Whether the chunk is used up. */
  get isEmpty(): boolean {
    return this.#offset === this.#chunk.length;
  }

  /**
   * The next frame, so that a reader that pauses has nothing piled up; undefined where the chunk has only a part of one.
   *
   * @throws As `push`.
   */
  next(): Frame | undefined {
    if (this.#headerLength < headerBytes) this.#takeHeader();
    if (this.#headerLength < headerBytes) return undefined;
    const chunk = this.#chunk;
    const start = this.#offset;
    this.#offset = Math.min(chunk.length, start + this.#wanted - this.#bodyLength);
    if (this.#offset - start === this.#wanted) {
      this.#headerLength = 0;
      return this.#decode(chunk, start, this.#offset); // whole within the chunk: nothing to copy
    }
    this.#append(chunk.subarray(start, this.#offset));
    const length = this.#bodyLength;
    if (length < this.#wanted) return undefined;
    const body = this.#body;
    this.#headerLength = 0;
    this.#bodyLength = 0;
    this.#body = none;
    return this.#decode(body, 0, length);
  }

  #takeHeader(): void {
    for (; this.#headerLength < headerBytes && !this.isEmpty; this.#headerLength++, this.#offset++) {
      this.#wanted = this.#headerLength === 0 ? (this.#chunk[this.#offset] as number) : this.#wanted * 256 + (this.#chunk[this.#offset] as number);
    }
    if (this.#headerLength < headerBytes) return;
    if (this.#wanted === 0) throw new BrokerViolation('a frame without a body');
    if (this.#wanted > this.#limits.maxFrameBytes) throw new BrokerViolation(`a frame of ${this.#wanted} bytes; the limit is ${this.#limits.maxFrameBytes}`);
  }

  /** Keeps a part in one buffer that doubles: a list of one-byte chunks would cost hundreds of bytes for each. */
  #append(part: Uint8Array): void {
    const length = this.#bodyLength + part.length;
    if (length > this.#body.length) {
      const grown = new Uint8Array(Math.min(this.#wanted, Math.max(length, this.#body.length * 2)));
      grown.set(this.#body.subarray(0, this.#bodyLength));
      this.#body = grown;
    }
    this.#body.set(part, this.#bodyLength);
    this.#bodyLength = length;
  }

  #decode(bytes: Uint8Array, start: number, end: number): Frame {
    const { value, values } = unpack(bytes, this.#limits, start, end);
    return { value, cost: end - start + values * bytesPerValue };
  }
}
