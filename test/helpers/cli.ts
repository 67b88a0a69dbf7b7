import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { withReadableCopy } from './unprivileged.js';

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

export interface Done {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions extends SpawnOptions {
  readonly input?: string | Buffer;
  /** Given the process once it runs. */
  readonly during?: (child: ChildProcess) => void;
}

/** The words of a command that is this package's own, as uid 65534 in a copy of the tree where `unprivileged` is given. */
export type Words = readonly [string, ...string[]];

export const asWeAre: Words = [process.execPath, `${root}/lib/cli/main.js`];

/** Runs the command line as a shell would, and waits until all it wrote has been read. */
export async function cli(words: Words, args: readonly string[], { input, during, ...options }: CliOptions = {}): Promise<Done> {
  const [program, ...rest] = words;
  const child = spawn(program, [...rest, ...args], { stdio: ['pipe', 'pipe', 'pipe'], ...options, env: { ...process.env, ...options.env } });
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  child.stdin?.on('error', () => {}).end(input ?? '');
  during?.(child);
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { code, signal, stdout, stderr };
}

/** Calls `use` as this user and, for root, as uid 65534 too. */
export async function asEachUser(use: (words: Words, who: string) => Promise<void>): Promise<void> {
  await use(asWeAre, process.getuid?.() === 0 ? 'root' : `uid ${process.getuid?.()}`);
  if (process.getuid?.() !== 0) return;
  await withReadableCopy(root, (folder, unprivileged) => use([...unprivileged, process.execPath, `${folder}/lib/cli/main.js`], 'uid 65534'));
}
