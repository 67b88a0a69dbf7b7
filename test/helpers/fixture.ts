// Irreversible things happen in a process of their own, a file of test/fixtures. Those are
// plain JavaScript: the loader that TypeScript needs runs a worker thread, which would hold a
// copy of the environment that is looked for.

import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface FixtureOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Options of node, before the fixture. */
  readonly node?: readonly string[];
  /** A program to run node through: `['setpriv', ...]`. */
  readonly through?: readonly string[];
  /** When it is killed. @default 60000 */
  readonly timeoutMs?: number;
}

/** A running fixture: it prints one JSON value a line, and goes on with each line that it is sent. */
export class Fixture {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stderr = '';

  constructor(name: string, { args = [], env = {}, node = [], through = [], timeoutMs = 60_000 }: FixtureOptions = {}) {
    const file = fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
    const [program = process.execPath, ...rest] = [...through, process.execPath, ...node, file, ...args];
    this.child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL', env: { ...process.env, ...env } });
    this.child.stderr?.on('data', (chunk) => (this.stderr += String(chunk)));
    this.child.stdin?.on('error', () => {}); // it ended first
    this.exited = new Promise((resolve) => this.child.on('close', (code, signal) => resolve({ code, signal })));
    this.#lines = createInterface({ input: this.child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** What it prints next. */
  async next<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`the fixture ended: ${JSON.stringify(await this.exited)}\n${this.stderr}`);
    return JSON.parse(value) as T;
  }

  /** Lets it go on. */
  go(): void {
    this.child.stdin?.write('\n');
  }

  async end(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

/** The one value that a fixture prints before it ends by itself. */
export async function inChild<T>(name: string, options?: FixtureOptions): Promise<T> {
  const fixture = new Fixture(name, options);
  const value = await fixture.next<T>();
  fixture.child.stdin?.end();
  const { code } = await fixture.exited;
  if (code !== 0) throw new Error(`the fixture exited with ${code}\n${fixture.stderr}`);
  return value;
}

/**
 * What stands for a task of the same user in an attack: root's own sees through every wall, so that uid 0 is kept but
 * the capabilities go. Empty for any other user, who has none.
 */
export const withoutCapabilities: readonly string[] =
  process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all'] : [];
