import { finished, type Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerClosed, BrokerViolation } from '../errors.js';
import type { AttachedReply, Reply } from './descriptor.js';
import { FrameDecoder, defaultFrameLimits, type Frame, type FrameLimits } from './frame.js';
import type { Lane } from './turns.js';

export interface ChannelLimits extends FrameLimits {
  /** Requests that may wait for their answers at once; the next one is not read before one is answered. @default 16 */
  readonly maxOutstanding: number;
  /** What those requests may occupy together, in `Frame.cost`; passed by at most one frame. @default 16 MiB */
  readonly maxOutstandingBytes: number;
}

export const defaultChannelLimits: ChannelLimits = Object.freeze({ ...defaultFrameLimits, maxOutstanding: 16, maxOutstandingBytes: 16 << 20 });

/**
 * Gives what answers a value, and never rejects.
 * @throws {BrokerViolation} At once: the value ends the channel.
 */
export type Answer = (value: unknown) => Reply | Promise<Reply>;

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
  readonly #lane: Lane;
  readonly #answer: Answer;
  readonly #onViolation: (violation: BrokerViolation) => void;
  readonly #decoder: FrameDecoder;
  /** Whether the next frame has a place in the queue. */
  #isQueued = false;
  /** Whether the peer has closed its side, and all it sent has come. */
  #isRead = false;
  #outstanding = 0;
  #outstandingBytes = 0;
  #ended = false;
  readonly #settle: () => void;

  constructor(stream: Duplex, limits: ChannelLimits, lane: Lane, answer: Answer, onViolation: (violation: BrokerViolation) => void) {
    this.#stream = stream;
    this.#limits = limits;
    this.#lane = lane;
    this.#answer = answer;
    this.#onViolation = onViolation;
    this.#decoder = new FrameDecoder(limits);
    let settle = (): void => undefined;
    this.closed = new Promise((resolve) => { settle = resolve; });
    this.#settle = settle;
    stream.on('data', (chunk: Uint8Array) => this.#take(chunk));
    stream.on('drain', () => this.#proceed());
    // A peer that is gone is an end like any other, also one that has ended before: who waits for it to take replies waits no more.
    stream.on('error', () => this.#proceed());
    stream.on('close', () => this.#proceed());
    finished(stream, { writable: false }, (error) => {
      if (error) this.close();
      this.#isRead = true;
      this.#proceed();
    });
    stream.resume(); // it may have come paused
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
    this.#settleIfOver();
  }

  #take(chunk: Uint8Array): void {
    if (this.#ended) return;
    if (this.#decoder.isEmpty) {
      this.#decoder.feed(chunk);
      this.#proceed();
    } else {
      this.#stream.pause();
      this.#stream.unshift(chunk);
    }
  }

  /** Takes the frames of the chunk at hand while there is room, then lets the next chunk come. */
  #proceed(): void {
    while (!this.#ended && !this.#decoder.isEmpty) {
      if (this.#isQueued || !this.#hasRoom()) return;
      this.#isQueued = !this.#lane.soon(this.#next);
    }
    if (this.#ended || this.#isRead) this.#settleIfOver();
    else if (this.#stream.isPaused()) this.#stream.resume();
  }

  /** Takes the next frame, or what the chunk has of one. */
  readonly #next = (): 'done' | 'more' => {
    let left: 'done' | 'more' = 'done';
    try {
      const frame = this.#ended ? undefined : this.#decoder.next();
      if (frame !== undefined) left = this.#accept(frame);
    } catch (error) {
      this.#fail(error);
    }
    if (this.#isQueued) {
      this.#isQueued = false;
      this.#proceed();
    }
    return left;
  };

  #hasRoom(): boolean {
    return this.#outstanding < this.#limits.maxOutstanding
      && this.#outstandingBytes < this.#limits.maxOutstandingBytes
      && (this.#stream.destroyed || !this.#stream.writableNeedDrain);
  }

  #accept({ value, cost }: Frame): 'done' | 'more' {
    const reply = this.#answer(value);
    if (reply instanceof Uint8Array) {
      this.#send(reply);
      return 'done';
    }
    this.#outstanding++;
    this.#outstandingBytes += cost;
    void this.#sendLater(reply).then(() => {
      this.#outstanding--;
      this.#outstandingBytes -= cost;
      this.#proceed();
    });
    return 'more';
  }

  #send(frame: Uint8Array): void {
    if (!this.#ended && this.#stream.writable) this.#stream.write(frame);
  }

  async #sendLater(answered: AttachedReply | Promise<Reply>): Promise<void> {
    const reply = await answered;
    if (reply instanceof Uint8Array) this.#send(reply);
    else await this.#sendAttached(reply);
  }

  /** What has a descriptor attached goes past the stream: when that holds nothing back, and with nothing in between. */
  async #sendAttached({ frame, attached }: AttachedReply): Promise<void> {
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

  /** Once everything read has been dealt with. The peer closed its side; it may still be reading the last replies. */
  #settleIfOver(): void {
    if (this.#outstanding > 0) return;
    this.#ended = true;
    if (!this.#stream.destroyed) this.#stream.end();
    this.#settle();
  }

  /** A violation ends the channel and is told once; anything else here is a peer that went away. */
  #fail(error: unknown): void {
    const first = !this.#ended;
    this.close();
    if (first && error instanceof BrokerViolation) this.#onViolation(error);
  }
}
