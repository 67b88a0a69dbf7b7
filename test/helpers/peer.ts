import type { Socket } from 'node:net';
import { FrameDecoder, encodeFrame } from '../../lib/broker/frame.js';

export type Reply = [id: number, body: Record<string, unknown> | null, error: Record<string, unknown> | null];

/** The task's end of a channel, for tests that play the task themselves. Beyond what a socket buffers it reads only when asked. */
export class Peer {
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #replies: Reply[] = [];
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    for (const event of ['readable', 'end', 'close']) socket.on(event, () => this.#wake?.());
  }

  send(...messages: unknown[]): void {
    this.#socket.write(Buffer.concat(messages.map((message) => encodeFrame(message))));
  }

  sendRaw(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** The next replies, in the order they came. Fewer only if the channel ends first. */
  async receive(count: number): Promise<Reply[]> {
    while (this.#replies.length < count) {
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk !== null) this.#replies.push(...[...this.#decoder.push(chunk)].map(({ value }) => value as Reply));
      else if (this.#socket.readableEnded || this.#socket.destroyed) break;
      else await new Promise<void>((resolve) => { this.#wake = resolve; });
    }
    return this.#replies.splice(0, count);
  }

  async ask(message: unknown): Promise<Reply> {
    this.send(message);
    const [reply] = await this.receive(1);
    if (reply === undefined) throw new Error('the channel ended without a reply');
    return reply;
  }
}

/** Resolves when `count()` has stayed the same for a while: what was going to happen has happened. */
export async function settled(count: () => number): Promise<number> {
  for (let same = 0, last = count(); ; ) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    same = count() === last ? same + 1 : 0;
    last = count();
    if (same === 25) return last;
  }
}
