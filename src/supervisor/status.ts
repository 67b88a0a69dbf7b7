import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { checkOptions, invalidArgument, LogRefused, outOfRange } from '../errors.js';
import { keepFromTasks } from '../policy/grants.js';
import { changeableByOthers, walk } from '../secrets/safe-path.js';
import { Board, type EndedTask, type ShownTask } from './board.js';
import { usageOf, type TaskUsage } from './usage.js';

export interface StatusOptions {
  /** Of a Unix socket that is made, in a folder of this user's alone. @default PID.sock in `$XDG_RUNTIME_DIR/sallyport`, or in `sallyport-UID` of os.tmpdir(): where `sallyport top` looks */
  readonly path?: string;
}

/** What a supervisor shows of itself, once a second. */
export interface Status {
  readonly at: string;
  readonly supervisor: {
    readonly pid: number;
    readonly hostname: string;
    readonly since: string;
    readonly memoryBytes: number;
    readonly cpuSeconds: number;
    /** It takes no more, and why. */
    readonly closed: string | null;
    readonly reportsWaiting: number;
  };
  readonly totals: Board['totals'];
  readonly running: readonly (ShownTask & { readonly usage: TaskUsage | null })[];
  readonly ended: readonly EndedTask[];
}

/** What the supervisor itself knows. */
type Facts = Pick<Status['supervisor'], 'hostname' | 'closed' | 'reportsWaiting'>;

const intervalMs = 1000;
const mostWatchers = 8;
/** Who does not read is not waited for: beyond this a status is left out. */
const mostUnread = 1 << 20;
/** What sun_path of unix(7) holds. */
const mostPathBytes = 107;

/** Sockets of this process. */
const shown = new Set<string>();

/** The first supervisor of a process has its number, and each other one another name. */
function ownName(): string {
  for (let count = 1; ; count++) {
    const path = join(statusFolder(), `${process.pid}${count === 1 ? '' : `-${count}`}.sock`);
    if (!shown.has(path)) return path;
  }
}

/** Where a supervisor's socket is, and `sallyport top` looks for it. */
export function statusFolder(): string {
  const runtime = process.env['XDG_RUNTIME_DIR'];
  return runtime !== undefined && runtime.startsWith('/') ? join(runtime, 'sallyport') : join(tmpdir(), `sallyport-${process.geteuid?.()}`);
}

/** Why a supervisor cannot be shown where `sallyport top` looks, for who would rather go on; undefined: it can. */
export function statusProblem(): string | undefined {
  try {
    makeFolder(statusFolder());
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Shows a supervisor to programs of its own user, on a socket of mode 0600. Costs nothing while nobody looks. */
export class StatusSocket {
  readonly path: string;
  readonly #server: Server;
  /** Is told of each step of each try. */
  readonly board = new Board();
  readonly #facts: () => Facts;
  readonly #since = new Date().toISOString();
  readonly #watchers = new Set<Socket>();
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  readonly #removed = (): void => rmSync(this.path, { force: true });

  /**
   * @throws {LogRefused} `ERR_LOG_REFUSED`: something else is there, or another user could change the path. TypeError
   *   `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`; system errors.
   */
  constructor(options: StatusOptions, facts: () => Facts) {
    checkOptions('options.status', options, ['path']);
    if (options.path !== undefined && (typeof options.path !== 'string' || options.path === '')) throw invalidArgument('options.status.path', 'the path of a socket', options.path);
    this.path = resolve(options.path ?? ownName());
    if (Buffer.byteLength(this.path) > mostPathBytes) throw outOfRange('options.status.path', `at most ${mostPathBytes} bytes long, when resolved`);
    if (shown.has(this.path)) throw new LogRefused(this.path, 'shows another supervisor of this process');
    this.#facts = facts;
    keepFromTasks(makeFolder(dirname(this.path)), "the supervisor's status");
    removeOld(this.path);
    this.#server = createServer((socket) => this.#watch(socket)).unref();
    this.#server.on('error', (error) => process.emitWarning(`nobody can look at this supervisor: ${error.message}`, { type: 'SallyportWarning', code: 'SALLYPORT_STATUS' }));
    this.#server.listen(this.path, () => chmodSync(this.path, 0o600)); // until then the folder keeps others out
    process.once('exit', this.#removed);
    shown.add(this.path);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const watcher of this.#watchers) watcher.destroy();
    this.#server.close(); // removes the socket's file
    process.off('exit', this.#removed);
    shown.delete(this.path);
  }

  #watch(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    if (this.#watchers.size >= mostWatchers) return void socket.destroy();
    socket.unref();
    socket.resume(); // nothing that comes is of interest
    this.#watchers.add(socket);
    socket.on('close', () => {
      this.#watchers.delete(socket);
      if (this.#watchers.size === 0) clearInterval(this.#timer);
    });
    if (this.#watchers.size === 1) this.#timer = setInterval(() => void this.#show(), intervalMs).unref();
    void this.#show();
  }

  async #status(): Promise<Status> {
    const { running, ended, totals } = this.board;
    const usage = await usageOf(running.map(({ pid }) => pid));
    return {
      at: new Date().toISOString(),
      supervisor: { pid: process.pid, since: this.#since, memoryBytes: process.memoryUsage.rss(), cpuSeconds: cpuSeconds(), ...this.#facts() },
      totals,
      running: running.map((task) => ({ ...task, usage: usage.get(task.pid) ?? null })),
      ended,
    };
  }

  async #show(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const line = `${JSON.stringify(await this.#status())}\n`;
      for (const watcher of this.#watchers) if (watcher.writableLength < mostUnread) watcher.write(line);
    } catch (error) {
      process.emitWarning('what runs could not be shown', { type: 'SallyportWarning', code: 'SALLYPORT_STATUS', detail: String(error) });
    } finally {
      this.#looking = false;
    }
  }
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** @returns Its path without links. */
function makeFolder(folder: string): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const steps = walk(folder);
  for (const step of steps) {
    const problem = changeableByOthers(step);
    if (problem !== undefined) throw new LogRefused(step.path, problem);
  }
  const last = steps.at(-1);
  if (last !== undefined && (last.stats.mode & 0o077) !== 0) throw new LogRefused(last.path, 'is open to others: a socket there would be, for a moment');
  return last?.path ?? folder;
}

/** A socket that an earlier process left there. */
function removeOld(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isSocket() || stats.uid !== process.geteuid?.()) throw new LogRefused(path, 'is there, and no socket of this user');
  rmSync(path);
}
