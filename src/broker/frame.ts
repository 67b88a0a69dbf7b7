/**
 * The wire: a 4-byte big-endian length, then one msgpack value. The same file serves the task's side,
 * so it may import nothing of the trusted side but the errors. Bytes from a task are hostile: see unpack.ts.
 */

import { encode } from '@msgpack/msgpack';
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
  if (body.length > maxFrameBytes) throw outOfRange(name, `at most ${maxFrameBytes} bytes when encoded`);
  const frame = new Uint8Array(headerBytes + body.length);
  new DataView(frame.buffer).setUint32(0, body.length);
  frame.set(body, headerBytes);
  return frame;
}

/**
 * A frame that a supervisor accepts: what would have ended the task is told to its sender.
 *
 * @throws As `encodeFrame`; `ERR_OUT_OF_RANGE` also for what is beyond the other default limits.
 */
export function encodeRequest(value: unknown, name: string): Uint8Array {
  const frame = encodeFrame(value, defaultFrameLimits, name);
  try {
    unpack(frame.subarray(headerBytes), defaultFrameLimits);
  } catch (error) {
    throw error instanceof BrokerViolation ? outOfRange(name, `a request that a supervisor accepts, not one with ${error.violation}`) : error;
  }
  return frame;
}

function encodeBody(value: unknown, name: string): Uint8Array {
  try {
    return encode(value, { maxDepth: 512, ignoreUndefined: true });
  } catch (cause) {
    if (cause instanceof Error && cause.message.startsWith('Too deep')) throw outOfRange(name, 'at most 512 levels deep');
    const [, foreign] = /^Unrecognized object: \[object (\w+)\]$/.exec(cause instanceof Error ? cause.message : '') ?? [];
    if (foreign === undefined) throw invalidArgument(name, 'made of values that msgpack has a form for', value);
    throw Object.assign(new TypeError(`"${name}" must be made of values that msgpack has a form for, and has a ${foreign}`), { code: 'ERR_INVALID_ARG_TYPE' as const });
  }
}

/** What JSON.stringify would write faithfully: msgpack also has bytes, dates, NaN and integers beyond a number. */
export function isJson(value: unknown): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value);
  if (Array.isArray(value)) return value.every(isJson);
  return typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype && Object.values(value).every(isJson);
}

/**
 * Cuts a byte stream into frames. Memory is taken for bytes that have arrived, never for a length that was announced,
 * and each byte is copied a bounded number of times however it was chunked.
 */
export class FrameDecoder {
  readonly #limits: FrameLimits;
  readonly #header = new Uint8Array(headerBytes);
  #headerLength = 0;
  /** The body's announced length, once the header is whole. */
  #wanted = 0;
  #body = new Uint8Array(0);
  #bodyLength = 0;

  constructor(limits: Partial<FrameLimits> = {}) {
    this.#limits = { ...defaultFrameLimits, ...limits };
  }

  /**
   * The frames that end in `chunk`, each decoded when it is asked for, so that a reader that pauses has nothing piled up.
   * Exhaust it before the next chunk. The chunk must not change meanwhile.
   *
   * @throws {BrokerViolation} `ERR_BROKER_VIOLATION`: not a frame within the limits; this decoder is of no more use.
   */
  *push(chunk: Uint8Array): Generator<Frame, void, undefined> {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#headerLength < headerBytes) {
        offset += this.#takeHeader(chunk, offset);
        continue; // the length is now known, or the chunk is used up
      }
      const missing = this.#wanted - this.#bodyLength;
      const part = chunk.subarray(offset, offset + missing);
      offset += part.length;
      if (part.length === this.#wanted) {
        this.#reset();
        yield this.#decode(part); // whole within the chunk: nothing to copy
      } else {
        this.#append(part);
        if (part.length < missing) return;
        const body = this.#body.subarray(0, this.#bodyLength);
        this.#reset();
        yield this.#decode(body);
      }
    }
  }

  #takeHeader(chunk: Uint8Array, offset: number): number {
    const part = chunk.subarray(offset, offset + headerBytes - this.#headerLength);
    this.#header.set(part, this.#headerLength);
    this.#headerLength += part.length;
    if (this.#headerLength === headerBytes) {
      this.#wanted = new DataView(this.#header.buffer).getUint32(0);
      if (this.#wanted === 0) throw new BrokerViolation('a frame without a body');
      if (this.#wanted > this.#limits.maxFrameBytes) throw new BrokerViolation(`a frame of ${this.#wanted} bytes; the limit is ${this.#limits.maxFrameBytes}`);
    }
    return part.length;
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

  #reset(): void {
    this.#headerLength = 0;
    this.#bodyLength = 0;
    this.#body = new Uint8Array(0);
  }

  #decode(body: Uint8Array): Frame {
    const { value, values } = unpack(body, this.#limits);
    return { value, cost: body.length + values * bytesPerValue };
  }
}
