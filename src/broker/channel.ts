import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BrokerClosed, BrokerViolation } from '../errors.js';
import { FrameDecoder, defaultFrameLimits, type Frame, type FrameLimits } from './frame.js';

export interface ChannelLimits extends FrameLimits {
  /** Requests that may wait for their answers at once; the next one is not read before one is answered. @default 16 */
  readonly maxOutstanding: number;
  /** What those requests may occupy together, in `Frame.cost`; passed by at most one frame. @default 16 MiB */
  readonly maxOutstandingBytes: number;
}

export const defaultChannelLimits: ChannelLimits = Object.freeze({ ...defaultFrameLimits, maxOutstanding: 16, maxOutstandingBytes: 16 << 20 });

/** Gives the frame that answers a value, and never rejects. @throws {BrokerViolation} At once: the value ends the channel. */
export type Answer = (value: unknown) => Promise<Uint8Array>;

/** What is read before other tasks get their turn; passed by at most one frame. */
const framesPerTurn = 64;
const costPerTurn = 256 << 10;

/**
 * Frames over a stream, with backpressure both ways: it reads on only while few requests are outstanding and the peer
 * has taken the replies written so far. What a peer can make us hold is bounded by the limits, whether it floods,
 * never reads or dribbles single bytes.
 */
export class Channel {
  /** Settles, never rejects, once nothing more is read and every request read has been dealt with. */
  readonly closed: Promise<void>;
  readonly #stream: Duplex;
  readonly #limits: ChannelLimits;
  readonly #answer: Answer;
  readonly #onViolation: (violation: BrokerViolation) => void;
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
    let frames = 0;
    let cost = 0;
    for await (const chunk of this.#stream.iterator({ destroyOnReturn: false })) {
      for (const frame of decoder.push(chunk as Uint8Array)) {
        while (!this.#ended && !this.#hasRoom()) await new Promise<void>((resolve) => { this.#wake = resolve; });
        if (this.#ended) return;
        this.#accept(frame);
        // A chunk can hold thousands of requests, or tens of thousands of values.
        cost += frame.cost;
        if (++frames < framesPerTurn && cost < costPerTurn) continue;
        frames = cost = 0;
        await nextTurn();
      }
    }
  }

  #hasRoom(): boolean {
    return this.#outstanding.size < this.#limits.maxOutstanding
      && this.#outstandingBytes < this.#limits.maxOutstandingBytes
      && (this.#stream.destroyed || !this.#stream.writableNeedDrain);
  }

  #accept({ value, cost }: Frame): void {
    const answered = this.#answer(value).then((frame) => {
      if (!this.#ended && this.#stream.writable) this.#stream.write(frame);
      this.#outstanding.delete(answered);
      this.#outstandingBytes -= cost;
      this.#wake?.();
    });
    this.#outstanding.add(answered);
    this.#outstandingBytes += cost;
  }

  /** A violation ends the channel and is told once; anything else here is a peer that went away. */
  #fail(error: unknown): void {
    const first = !this.#ended;
    this.close();
    if (first && error instanceof BrokerViolation) this.#onViolation(error);
  }
}
