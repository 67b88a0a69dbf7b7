import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { finished, PassThrough, type Duplex, type Readable, type Writable } from 'node:stream';
import { native } from '../native.js';

/** What a stream of the task is connected to: ours to use, nothing, or the supervisor's own. */
export type Stdio = 'pipe' | 'ignore' | 'inherit';

/** Our end of one of the task's descriptors. It becomes a stream when somebody first asks for it. */
class End {
  #fd: number | undefined;
  #stream: Duplex | undefined;
  #asked = false;
  readonly #readable: boolean;
  readonly #writable: boolean;

  constructor(fd: number, readable: boolean, writable: boolean) {
    this.#fd = fd;
    this.#readable = readable;
    this.#writable = writable;
  }

  get stream(): Duplex {
    this.#asked = true;
    return (this.#stream ??= this.#open());
  }

  #open(): Socket {
    const fd = this.#fd;
    this.#fd = undefined;
    const socket = new Socket({ fd: fd as number, readable: this.#readable, writable: this.#writable, allowHalfOpen: true });
    // A task that ends with data on the way is no error of the supervisor's.
    socket.on('error', () => socket.destroy());
    return socket;
  }

  /** The task has ended: what it wrote is kept, at most a pipe's worth, and the descriptor is given back. */
  settle(): void {
    if (this.#fd === undefined) return;
    if (this.#writable) return this.close(); // what was written to a task that is gone, or a channel that nobody served
    const kept = new PassThrough({ highWaterMark: 1 << 20 });
    this.#stream = kept;
    this.#open().pipe(kept);
  }

  /** When all that came from the task was read. One that nobody asked for keeps nobody waiting. */
  ended(): Promise<void> {
    const stream = this.#asked ? this.#stream : undefined;
    if (stream === undefined || !this.#readable || this.#writable) return Promise.resolve();
    return new Promise((resolve) => finished(stream, { writable: false }, () => resolve()));
  }

  close(): void {
    this.#stream?.destroy();
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/** Which descriptors a launch sets up. */
export interface StdioOptions {
  readonly stdin: Stdio | 'channel';
  readonly stdout: Stdio;
  readonly stderr: Stdio;
  readonly logs: boolean;
}

/** Both sides of a task's descriptors 0 to 3. `theirs` goes to the native side, which closes them. */
export class TaskStdio {
  readonly theirs: number[] = [];
  #ends: (End | undefined)[] = [];

  constructor({ stdin, stdout, stderr, logs }: StdioOptions) {
    try {
      if (stdin === 'channel') this.#add(native().socketPair(), true, true);
      else if (stdin === 'pipe') this.#add(native().writePipe(), false, true);
      else this.#share(stdin, 0);
      for (const [index, kind] of [stdout, stderr].entries()) {
        if (kind === 'pipe') this.#add(native().readPipe(), true, false);
        else this.#share(kind, index + 1);
      }
      if (logs) this.#add(native().readPipe(), true, false);
    } catch (error) {
      for (const fd of this.theirs) if (fd > 2) closeSync(fd);
      this.close();
      throw error;
    }
  }

  #add([ours, theirs]: [number, number], readable: boolean, writable: boolean): void {
    this.theirs.push(theirs);
    this.#ends.push(new End(ours, readable, writable));
  }

  #share(kind: Stdio, fd: number): void {
    this.theirs.push(kind === 'inherit' ? native().duplicate(fd) : -1);
    this.#ends.push(undefined);
  }

  get input(): Duplex | null {
    return this.#ends[0]?.stream ?? null;
  }
  output(index: 1 | 2 | 3): Readable | null {
    return this.#ends[index]?.stream ?? null;
  }

  async ended(): Promise<void> {
    await Promise.all(this.#ends.map((end) => end?.ended()));
  }

  settle(): void {
    for (const end of this.#ends) end?.settle();
  }

  close(): void {
    for (const end of this.#ends) end?.close();
  }
}

export type { Duplex, Readable, Writable };
