// Attacks from before a supervisor's birth, by another process of its user.

import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { nativeProgram } from '../native.js';
import type { Attack } from './attack.js';
import { birthUser } from './birth-user.js';
import { openNode } from './locate.js';
import type { Attempt } from './runner.js';
import { marker, names, type Side } from './scene.js';

const boundMs = 20_000;
/** How long it goes on when the supervisor holds its secret. */
const afterwardsMs = 500;
const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

/** Starts the watcher, then the supervisor, and says what the watcher got. All of it is gone when this returns. */
export async function attemptAtBirth(attack: Attack, side: Side, signal: AbortSignal | undefined): Promise<Attempt> {
  const secret = `ghp_${randomBytes(24).toString('hex')}`;
  const word = `birth-${randomBytes(8).toString('hex')}`;
  const watcher = new Spoken(spawn(nativeProgram('attack'), [attack.runs ?? attack.name, String(process.pid), word], { ...birthUser, stdio: 'pipe', env: {} }));
  let supervisor: Spoken | undefined;
  try {
    await watcher.says(marker.watching, signal);
    supervisor = start(side, secret, word);
    await supervisor.says('ready', signal);
    await wait(afterwardsMs, undefined, signal && { signal });
    watcher.process.stdin?.end(); // which ends its watch
    await watcher.ended(signal);
    supervisor.process.stdin?.write('\n');
    await supervisor.says(`holds ${secret.length} bytes`, signal);
    return judge(attack, watcher.output, secret);
  } finally {
    await watcher.kill();
    await supervisor?.kill();
  }
}

function start(side: Side, secret: string, word: string): Spoken {
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', [names.token]: secret };
  const own = [process.execPath, here('birth-supervisor.js'), side, word];
  if (side === 'sallyport') {
    const user = birthUser.uid === undefined ? [] : ['--user', `${birthUser.uid}:${birthUser.gid}`];
    const [program = '', ...args] = [process.execPath, here('../cli/main.js'), 'exec', ...user, '--secret', `token=env:${names.token}`, '--', ...own];
    return new Spoken(spawn(program, args, { stdio: 'pipe', env }));
  }
  const path = join(tmpdir(), `sallyport-${word}`);
  writeFileSync(path, secret, { mode: 0o600 });
  if (birthUser.uid !== undefined && birthUser.gid !== undefined) chownSync(path, birthUser.uid, birthUser.gid);
  const credentials = openSync(path, 'r');
  rmSync(path);
  try {
    return new Spoken(spawn(openNode() ?? process.execPath, own.slice(1), { ...birthUser, stdio: ['pipe', 'pipe', 'pipe', credentials], env }));
  } finally {
    closeSync(credentials);
  }
}

function judge(attack: Attack, output: string, secret: string): Attempt {
  if (output.includes(secret)) return { verdict: 'leaked', evidence: 'it printed what the supervisor was given' };
  const refusal = /^refused: (.*)$/m.exec(output)?.[1];
  const tries = Number(/^tried: (\d+) times$/m.exec(output)?.[1] ?? 0);
  // Its first refusals may have been by what the supervisor was before: it must have gone on.
  if (refusal === undefined || tries < 10) return { verdict: 'error', evidence: `the attack ${attack.name} did not run to its end: ${output}` };
  return { verdict: 'blocked', evidence: `${refusal}; ${tries} times` };
}

/** A process, and what it has said. */
class Spoken {
  readonly process: ChildProcess;
  output = '';
  readonly #closed: Promise<unknown>;

  constructor(child: ChildProcess) {
    this.process = child;
    this.#closed = once(child, 'close').catch((error: unknown) => (this.output += String(error)));
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('latin1').on('data', (chunk: string) => (this.output += chunk));
    child.stdin?.on('error', () => {}); // it ended first
  }

  async says(text: string, signal: AbortSignal | undefined): Promise<void> {
    const until = AbortSignal.any([AbortSignal.timeout(boundMs), ...(signal ? [signal] : [])]);
    while (!this.output.includes(text)) {
      signal?.throwIfAborted();
      if (until.aborted || this.process.exitCode !== null || this.process.signalCode !== null) throw new Error(`it never said "${text}": ${this.output}`);
      const heard = new AbortController();
      await Promise.race([once(this.process.stdout as NodeJS.ReadableStream, 'data', { signal: heard.signal }), once(until, 'abort', { signal: heard.signal }), this.#closed]).catch(() => {});
      heard.abort();
    }
  }

  async ended(signal: AbortSignal | undefined): Promise<void> {
    await Promise.race([this.#closed, wait(boundMs, undefined, { ref: false, ...(signal && { signal }) })]);
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.#closed;
  }
}
