import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { finished, PassThrough, type Duplex, type Readable, type Writable } from 'node:stream';
import { native } from '../native.js';

/** What a stream of the task is connected to: ours to use, nothing, or the supervisor's own. */
export type Stdio = 'pipe' | 'ignore' | 'inherit';

/** Our end of one of the task's descriptors. It becomes a stream when somebody first asks for it. */
class End {
  #fd: number | undefined;
  readonly #number: number;
  #stream: Duplex | undefined;
  #asked = false;
  readonly #readable: boolean;
  readonly #writable: boolean;

  readonly #counted: ((chunk: Buffer) => Buffer) | undefined;

  constructor(fd: number, readable: boolean, writable: boolean, counted?: (chunk: Buffer) => Buffer) {
    this.#counted = counted;
    this.#fd = fd;
    this.#number = fd;
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
    const socket = new CountedSocket({ fd: fd as number, readable: this.#readable, writable: this.#writable, allowHalfOpen: true });
    socket.counted = this.#counted;
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

  /** Sends bytes with a descriptor attached to the first of them. Only while the stream has nothing to write. @throws System errors, EAGAIN among them. */
  sendDescriptor(fd: number, bytes: Uint8Array): number {
    // The number is ours for as long as the stream has not been destroyed.
    if (this.#fd === undefined && this.#stream?.destroyed !== false) throw Object.assign(new Error('EPIPE: the channel is closed'), { code: 'EPIPE', syscall: 'sendmsg' });
    return native().sendDescriptor(this.#number, fd, bytes);
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
  readonly outputBytes?: number | undefined;
  readonly logLineBytes?: number | undefined;
  /** Told once of a limit that was passed; nothing past it is delivered. */
  readonly exceeded?: (limit: 'outputBytes' | 'logLineBytes') => void;
}

const newline = 10;

/** Counts what passes through our ends of descriptors 1, 2 and 3. */
class OutputCount {
  #left: number;
  readonly #lineBytes: number;
  readonly #exceeded: (limit: 'outputBytes' | 'logLineBytes') => void;
  #told = false;

  constructor({ outputBytes = Infinity, logLineBytes = Infinity, exceeded = () => {} }: StdioOptions) {
    this.#left = outputBytes;
    this.#lineBytes = logLineBytes;
    this.#exceeded = exceeded;
  }

  /** For one descriptor: as much of each chunk as is within the limits. */
  output(): (chunk: Buffer) => Buffer {
    return (chunk) => this.#within(chunk);
  }

  /** Likewise, and its lines are counted. */
  log(): (chunk: Buffer) => Buffer {
    const line = { bytes: 0 };
    return (chunk) => this.#within(this.#lines(chunk, line));
  }

  #within(kept: Buffer): Buffer {
    this.#left -= kept.byteLength;
    if (this.#left >= 0) return kept;
    const over = -this.#left;
    this.#left = 0;
    this.#tell('outputBytes');
    return kept.subarray(0, kept.byteLength - over);
  }

  /** Looks for the last newline that is near enough, not for each: a chunk can be nothing but newlines, and 32 chunks one turn of the loop. */
  #lines(chunk: Buffer, line: { bytes: number }): Buffer {
    for (let start = 0; ; ) {
      const room = this.#lineBytes - line.bytes;
      const near = chunk.subarray(start, start + room + 1);
      const last = near.lastIndexOf(newline);
      if (near.byteLength <= room) {
        line.bytes = last < 0 ? line.bytes + near.byteLength : near.byteLength - last - 1;
        return chunk;
      }
      if (last < 0) {
        this.#tell('logLineBytes');
        line.bytes = this.#lineBytes; // and so it stays: nothing more of it is delivered
        return chunk.subarray(0, start + room);
      }
      start += last + 1;
      line.bytes = 0;
    }
  }

  #tell(limit: 'outputBytes' | 'logLineBytes'): void {
    if (this.#told) return;
    this.#told = true;
    this.#exceeded(limit);
  }
}

/** A socket that hands on no more than its task may write. */
class CountedSocket extends Socket {
  counted: ((chunk: Buffer) => Buffer) | undefined;

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (this.counted === undefined || !Buffer.isBuffer(chunk)) return super.push(chunk, encoding);
    const kept = this.counted(chunk);
    return kept.byteLength === 0 ? true : super.push(kept, encoding);
  }
}

/** Both sides of a task's descriptors 0 to 3. `theirs` goes to the native side, which closes them. */
export class TaskStdio {
  readonly theirs: number[] = [];
  #ends: (End | undefined)[] = [];
  readonly #count: OutputCount;

  constructor(options: StdioOptions) {
    const { stdin, stdout, stderr, logs } = options;
    const count = (this.#count = new OutputCount(options));
    try {
      if (stdin === 'channel') this.#add(native().socketPair(), true, true);
      else if (stdin === 'pipe') this.#add(native().writePipe(), false, true);
      else this.#share(stdin, 0);
      for (const [index, kind] of [stdout, stderr].entries()) {
        if (kind === 'pipe') this.#add(native().readPipe(), true, false, count.output());
        else this.#share(kind, index + 1);
      }
      if (logs) this.#add(native().readPipe(), true, false, count.log());
    } catch (error) {
      for (const fd of this.theirs) if (fd > 2) closeSync(fd);
      this.close();
      throw error;
    }
  }

  #add([ours, theirs]: [number, number], readable: boolean, writable: boolean, counted?: (chunk: Buffer) => Buffer): void {
    this.theirs.push(theirs);
    this.#ends.push(new End(ours, readable, writable, counted));
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

  /**
   * One more way to write logs, within the same limits: our end, and the descriptor to hand to the task, which is the caller's to close.
   * A socket, as Airflow's children expect; what they attach to its bytes is discarded.
   */
  openLog(): { readonly stream: Readable; readonly theirs: number } {
    const [ours, theirs] = native().socketPair();
    const end = new End(ours, true, false, this.#count.log());
    this.#ends.push(end);
    return { stream: end.stream, theirs };
  }

  /** Through the channel: see {@link End.sendDescriptor}. */
  sendDescriptor(fd: number, bytes: Uint8Array): number {
    const channel = this.#ends[0];
    if (channel === undefined) throw Object.assign(new Error('EBADF: there is no channel'), { code: 'EBADF', syscall: 'sendmsg' });
    return channel.sendDescriptor(fd, bytes);
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
