import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Status } from '../supervisor/index.js';
import { harmless } from '../supervisor/logs/record.js';
import { statusFolder } from '../supervisor/status.js';
import { commandLine, usageError } from './command-line.js';
import { paintFor } from './table.js';
import { renderStatus, type Sort } from './top-view.js';

const sorts: readonly Sort[] = ['time', 'memory', 'cpu'];

const usage = `usage: sallyport top [options] [SOCKET ...]

Shows what supervisors of this user run: for each task its state, time,
processor, memory and processes, beside what ends it, and how much it asked for;
and what has ended lately. A supervisor is seen that was given \`status\`; its
socket is found by itself, or named.

  --sort KEY   ${sorts.join(', ')}: the longest, or the most, first
  --once       once, not live; so it is too where standard output is no terminal
  --json       once, as JSON

Keys: t, m, c sort; q ends.
`;

const options = {
  sort: { type: 'string', default: 'time' },
  once: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

export async function run(args: string[], signal: AbortSignal): Promise<number> {
  const given = commandLine(args, usage, options, { allowPositionals: true });
  if (given === undefined) return 0;
  const { values, positionals } = given;
  const sort = sorts.find((name) => name === values.sort);
  if (sort === undefined) throw usageError(`--sort is one of ${sorts.join(', ')}, not "${values.sort}"`);
  const named = positionals.length > 0;
  const watched = (named ? positionals : found()).map((path) => new Watched(path));
  const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  try {
    // One that was named and is not there is a mistake; one that was found may have gone, and left its socket.
    await Promise.all(watched.map((each) => each.first(named)));
    const there = watched.filter(({ last }) => last !== undefined);
    for (const each of watched) if (each.isLeft) removeOld(each.path);
    if (there.length === 0) {
      process.stderr.write(`sallyport top: no supervisor of this user shows itself in ${statusFolder()}; give one \`status: {}\`, or name its socket\n`);
      return 1;
    }
    if (values.json) process.stdout.write(`${harmless(JSON.stringify(there.map(({ last }) => last), null, 2))}\n`);
    else if (values.once || process.stdout.isTTY !== true) for (const each of there) for (const line of frame(each, sort, Infinity)) process.stdout.write(`${line}\n`);
    else await live(there, sort, ended);
    return 0;
  } finally {
    for (const each of watched) each.close();
  }
}

/** One supervisor's socket, and its last two looks. */
class Watched {
  readonly path: string;
  readonly #socket: Socket;
  #last: Status | undefined;
  #before: Status | undefined;
  #text = '';
  #error: Error | undefined;
  onChange: () => void = () => {};

  constructor(path: string) {
    this.path = path;
    this.#socket = connect(path).setEncoding('utf8');
    this.#socket.on('data', (chunk: string) => this.#read(chunk));
    this.#socket.on('error', (error) => (this.#error = error));
    this.#socket.on('close', () => this.onChange());
  }

  get last(): Status | undefined {
    return this.#last;
  }
  get before(): Status | undefined {
    return this.#before;
  }
  get gone(): boolean {
    return this.#socket.destroyed;
  }

  /** Nobody listens there any more. */
  get isLeft(): boolean {
    return (this.#error as NodeJS.ErrnoException | undefined)?.code === 'ECONNREFUSED';
  }

  /** Waits for the first look, or for it to be clear that there is none. @throws System errors of connect(2), if it is `needed`. */
  async first(needed: boolean): Promise<void> {
    await new Promise<void>((resolve) => {
      this.onChange = resolve;
      if (this.#last !== undefined || this.gone) resolve();
    });
    if (this.#last === undefined && needed) throw Object.assign(this.#error ?? new Error(`${this.path} says nothing`), { syscall: 'connect', path: this.path });
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: string): void {
    const lines = (this.#text + chunk).split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) {
      this.#before = this.#last;
      this.#last = JSON.parse(line) as Status;
      this.onChange();
    }
  }
}

function frame({ last, before, gone, path }: Watched, sort: Sort, rows: number): string[] {
  if (last === undefined) return gone ? [` ${path}: the supervisor has gone`] : [];
  const paint = paintFor(process.stdout);
  const lines = renderStatus(last, before, { paint, columns: process.stdout.columns || Number(process.env['COLUMNS']) || 120, rows, sort });
  return gone ? [...lines, '', paint('yellow', ' the supervisor has gone')] : lines;
}

/** Until `q`, the signal, or the last supervisor's end: on the terminal's other screen, so that what was there comes back. */
async function live(watched: readonly Watched[], sort: Sort, ended: Promise<void>): Promise<void> {
  const { stdin, stdout } = process;
  let by = sort;
  const draw = (): void => {
    const rows = Math.max(4, Math.floor((stdout.rows || 24) / watched.length) - 1);
    const lines = watched.flatMap((each) => [...frame(each, by, rows), '']);
    stdout.write(`\x1b[H${lines.slice(0, stdout.rows || 24).map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`);
  };
  let quit = (): void => {};
  const left = new Promise<void>((resolve) => (quit = resolve));
  const key = (bytes: Buffer): void => {
    for (const pressed of bytes.toString()) {
      if (pressed === 'q' || pressed === '\x03') quit();
      by = sorts.find((name) => name.startsWith(pressed)) ?? by;
    }
    draw();
  };
  for (const each of watched) each.onChange = () => (watched.every(({ gone }) => gone) ? quit() : draw());
  stdout.write('\x1b[?1049h\x1b[?25l\x1b[?7l'); // no cursor, and a name in wide characters breaks no line
  if (stdin.isTTY) stdin.setRawMode(true).on('data', key);
  stdout.on('resize', draw);
  try {
    draw();
    await Promise.race([left, ended]);
  } finally {
    stdout.off('resize', draw).write('\x1b[?7h\x1b[?25h\x1b[?1049l');
    if (stdin.isTTY) stdin.setRawMode(false).off('data', key).pause();
  }
  if (watched.every(({ gone }) => gone)) for (const each of watched) stdout.write(`${frame(each, by, Infinity).join('\n')}\n`);
}

/** What a supervisor that was killed has left; one that is about to listen is not taken for it. */
function removeOld(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats?.isSocket() === true && Date.now() - stats.mtimeMs > 10_000) rmSync(path, { force: true });
}

/** Sockets where supervisors make them, if that folder is ours alone. */
function found(): string[] {
  const folder = statusFolder();
  const stats = lstatSync(folder, { throwIfNoEntry: false });
  if (stats === undefined || !stats.isDirectory() || stats.uid !== process.geteuid?.() || (stats.mode & 0o077) !== 0) return [];
  return readdirSync(folder).filter((name) => name.endsWith('.sock')).sort().map((name) => join(folder, name));
}
