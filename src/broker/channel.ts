import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerClosed, BrokerViolation } from '../errors.js';
import type { AttachedReply } from './descriptor.js';
import { FrameDecoder, defaultFrameLimits, type Frame, type FrameLimits } from './frame.js';
import { Lane } from './turns.js';

export interface ChannelLimits extends FrameLimits {
  /** Requests that may wait for their answers at once; the next one is not read before one is answered. @default 16 */
  readonly maxOutstanding: number;
  /** What those requests may occupy together, in `Frame.cost`; passed by at most one frame. @default 16 MiB */
  readonly maxOutstandingBytes: number;
}

export const defaultChannelLimits: ChannelLimits = Object.freeze({ ...defaultFrameLimits, maxOutstanding: 16, maxOutstandingBytes: 16 << 20 });

/**
 * Gives the frame that answers a value, and never rejects. What of it takes time and can wait goes through the lane.
 * @throws {BrokerViolation} At once: the value ends the channel.
 */
export type Answer = (value: unknown, lane: Lane) => Promise<Uint8Array | AttachedReply>;

/** How soon a peer that must read before a descriptor can be sent is looked at again; each further time twice as late. */
const leastRetryMs = 5;
const mostRetryMs = 500;

/**
 * Frames over a stream, with backpressure both ways: it reads on only while few requests are outstanding and the peer
 * has taken the replies written so far. What a peer can make us hold is bounded by the limits, whether it floods,
 * never reads or dribbles single bytes. What it can make us do is shared out among all channels: see turns.ts.
 */
export class Channel {
  /** Settles, never rejects, once nothing more is read and every request read has been dealt with. */
  readonly closed: Promise<void>;
  readonly #stream: Duplex;
  readonly #limits: ChannelLimits;
  readonly #answer: Answer;
  readonly #onViolation: (violation: BrokerViolation) => void;
  readonly #lane = new Lane();
  readonly #outstanding = new Set<Promise<void>>();
  #outstandingBytes = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(stream: Duplex, limits: ChannelLimits, answer: Answer, onViolation: (violation: BrokerViolation) => void) {
    this.#stream = stream;
    this.#limits = limits;
    this.#answer = answer;
    this.#onViolation = onViolation;
    const wake = (): void => this.#wake?.();
    stream.on('drain', wake);
    stream.on('close', wake);
    stream.on('error', wake); // a peer that is gone is an end like any other: the read loop sees it
    this.closed = this.#run();
  }

  /** @throws {BrokerClosed} `ERR_BROKER_CLOSED` */
  write(frame: Uint8Array): void {
    if (this.#ended || !this.#stream.writable) throw new BrokerClosed();
    this.#stream.write(frame);
  }

  /** Ends now: nothing more is read or written. Answers on their way are awaited by `closed` and dropped. */
  close(): void {
    this.#ended = true;
    this.#stream.destroy();
    this.#wake?.();
  }

  async #run(): Promise<void> {
    try {
      await this.#read();
    } catch (error) {
      this.#fail(error);
    }
    await Promise.all(this.#outstanding);
    if (this.#ended || this.#stream.destroyed) return this.close();
    this.#ended = true;
    // The peer closed its side; it may still be reading the last replies.
    this.#stream.end();
  }

  async #read(): Promise<void> {
    const decoder = new FrameDecoder(this.#limits);
    for await (const chunk of this.#stream.iterator({ destroyOnReturn: false })) {
      const frames = decoder.push(chunk as Uint8Array);
      for (let more = true; more; ) {
        while (!this.#ended && !this.#hasRoom()) await new Promise<void>((resolve) => { this.#wake = resolve; });
        more = await this.#lane.run(() => !this.#ended && this.#next(frames));
      }
      if (this.#ended) return;
    }
  }

  /** Takes the next frame, or what the chunk has of one. @returns whether there may be more in the chunk. */
  #next(frames: Generator<Frame, void, undefined>): boolean {
    const { value: frame } = frames.next();
    if (frame !== undefined) this.#accept(frame);
    return frame !== undefined;
  }

  #hasRoom(): boolean {
    return this.#outstanding.size < this.#limits.maxOutstanding
      && this.#outstandingBytes < this.#limits.maxOutstandingBytes
      && (this.#stream.destroyed || !this.#stream.writableNeedDrain);
  }

  #accept({ value, cost }: Frame): void {
    const answered = this.#answer(value, this.#lane).then(async (reply) => {
      if (!(reply instanceof Uint8Array)) await this.#writeAttached(reply);
      else if (!this.#ended && this.#stream.writable) this.#stream.write(reply);
      this.#outstanding.delete(answered);
      this.#outstandingBytes -= cost;
      this.#wake?.();
    });
    this.#outstanding.add(answered);
    this.#outstandingBytes += cost;
  }

  /** What has a descriptor attached goes past the stream: when that holds nothing back, and with nothing in between. */
  async #writeAttached({ frame, attached }: AttachedReply): Promise<void> {
    try {
      for (let retryMs = leastRetryMs; !this.#ended && this.#stream.writable; retryMs = Math.min(retryMs * 2, mostRetryMs)) {
        const sent = this.#stream.writableLength > 0 ? 0 : attached.send(frame);
        if (sent === 0) {
          await sleep(retryMs);
          continue;
        }
        if (sent < frame.length) this.#stream.write(frame.subarray(sent));
        return;
      }
    } catch {
      // There is no peer: the read loop sees it.
    } finally {
      attached.close();
    }
  }

  /** A violation ends the channel and is told once; anything else here is a peer that went away. */
  #fail(error: unknown): void {
    const first = !this.#ended;
    this.close();
    if (first && error instanceof BrokerViolation) this.#onViolation(error);
  }
}
