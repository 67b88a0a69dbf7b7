import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Admission } from './api.js';
import { listen, tell } from './control.js';
import { healthOf } from './health.js';
import type { Props } from './props.js';
import { credentialsFd, lootNames, names, sceneOf, temporaryOf, type Job, type Loot, type LootName, type Order, type Report, type Side } from './scene.js';

/** A supervisor under test in a process of its own: what it reported, and what its tasks printed. */
export class SupervisorProcess {
  readonly pid: number;
  readonly reports: Report[] = [];
  /** Everything the supervisor and its tasks wrote; it goes on when the supervisor is dead. */
  output = '';
  exited = false;
  readonly #loots: Loot[];
  /** What is put up around the attack to be stolen, likewise. */
  readonly #prizes: Readonly<Record<string, string>>;
  readonly #child: ChildProcess;
  readonly #line: Duplex;
  readonly #closed: Promise<true>;
  #wake: () => void = () => {};
  /** Of an attack from outside: leads a process group of its own. */
  #outsider: ChildProcess | undefined;

  private constructor(child: ChildProcess, pid: number, loot: Loot, prizes: Readonly<Record<string, string>>) {
    this.pid = pid;
    this.#loots = [loot];
    this.#prizes = prizes;
    this.#child = child;
    this.#line = child.stdio[3] as Duplex;
    // After its exit and the end of its output, which its tasks share: then all of them are gone.
    this.#closed = new Promise((resolve) => child.once('close', () => resolve(true)));
    child.once('exit', () => {
      this.exited = true;
      this.#wake();
    });
    listen<Report>(this.#line, (report) => {
      this.reports.push(report);
      this.#wake();
    }, () => this.#wake());
    for (const stream of [child.stdout, child.stderr]) this.#hear(stream);
  }

  #hear(stream: Readable | null): void {
    stream?.setEncoding('latin1').on('data', (chunk: string) => {
      this.output += chunk;
      this.#wake();
    });
  }

  /**
   * Both kinds are started alike, mistakes of whoever starts them included: what is in their environment and their arguments,
   * and an open credentials file.
   */
  static async start(side: Side, job: Job, admission: Admission, main: string = names.supervisorCode, props: Pick<Props, 'loot' | 'starter'> = { loot: {}, starter: [] }): Promise<SupervisorProcess> {
    const loot: Loot = {
      "the supervisor's token": admission.token,
      "another task's token": admission.neighbourToken,
      "another task's secret": admission.neighbourVariable.value,
      // In the form of a well-known kind of credential, as an attacker would look for it.
      'a key the supervisor has not used yet': `ghp_${randomBytes(24).toString('hex')}`,
      'a password in its arguments': `ghp_${randomBytes(24).toString('hex')}`,
    };
    const credentials = join(job.folder, 'credentials');
    writeFileSync(credentials, `${admission.token}\n`, { mode: 0o600 });
    const fd = openSync(credentials, 'r');
    rmSync(credentials); // the descriptor is the only way to it
    try {
      // A port of its own, should the inspector open: harden() would refuse even that.
      const flags = side === 'ordinary' ? ['--inspect-port=0'] : [];
      const words = [...props.starter, process.execPath, ...flags, join(job.folder, main), JSON.stringify(job), loot['a password in its arguments']];
      const child = spawn(words[0] ?? '', words.slice(1), {
        cwd: job.folder,
        detached: true, // what is done to its process group is done to nobody else
        env: {
          PATH: process.env['PATH'] ?? '/usr/bin:/bin',
          TMPDIR: temporaryOf(job.folder),
          [names.token]: admission.token,
          [names.neighbourToken]: admission.neighbourToken,
          [names.unusedKey]: loot['a key the supervisor has not used yet'],
        },
        stdio: ['ignore', 'pipe', 'pipe', 'pipe', ...Array.from({ length: credentialsFd - 4 }, () => 'ignore' as const), fd],
      });
      return await new Promise((resolve, reject) => {
        child.once('error', reject);
        child.once('spawn', () => resolve(new SupervisorProcess(child, child.pid ?? 0, loot, props.loot)));
      });
    } finally {
      closeSync(fd);
    }
  }

  /** What was printed of the loot, or of `wanted` alone, and of what was put up around the attack. */
  stolen(wanted?: LootName): string[] {
    const counted = wanted === undefined ? lootNames : [wanted];
    const prizes = Object.keys(this.#prizes).filter((what) => this.output.includes(this.#prizes[what] ?? ''));
    return [...counted.filter((what) => this.#loots.some((loot) => this.output.includes(loot[what]))), ...prizes];
  }

  /** What another supervisor printed and held counts as this one's. */
  include(other: SupervisorProcess): void {
    this.output += other.output;
    this.#loots.push(...other.#loots);
  }

  /** Lets an attack loose that is none of its tasks; it is reported as theirs are. */
  attackFromOutside(job: Job): void {
    const hostile = spawn(process.execPath, [fileURLToPath(new URL('hostile.js', import.meta.url)), job.attack, JSON.stringify(sceneOf(job, this.pid, this.report('ready')?.neighbourPid ?? 0))], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#outsider = hostile;
    this.reports.push({ type: 'started', hostilePid: hostile.pid ?? 0 });
    for (const stream of [hostile.stdout, hostile.stderr]) this.#hear(stream);
    void once(hostile, 'close').then(([code, signal]: (number | string | null)[]) => {
      this.reports.push({ type: 'ended', how: `${signal ?? `exit code ${code}`}`, violation: false });
      this.#wake();
    });
  }

  /** A text as it may be shown. */
  redact(text: string): string {
    return [...this.#loots, this.#prizes].flatMap((loot) => Object.entries(loot)).reduce((rest, [what, value]) => rest.replaceAll(value, `<${what}>`), text);
  }

  order(type: Order['type']): void {
    tell(this.#line, { type });
  }

  report<T extends Report['type']>(type: T): Extract<Report, { type: T }> | undefined {
    return this.reports.find((report): report is Extract<Report, { type: T }> => report.type === type);
  }

  /** Whether `condition` came true within the bound; looked at whenever something was heard of this supervisor. Aborting ends the wait. */
  async until(condition: () => boolean, boundMs: number, signal?: AbortSignal): Promise<boolean> {
    const expiry = new AbortController();
    const over = signal === undefined ? expiry.signal : AbortSignal.any([signal, expiry.signal]);
    const expired = wait(boundMs, true, { signal: over }).catch(() => true);
    try {
      while (!condition()) {
        const heard = new Promise<false>((resolve) => (this.#wake = () => resolve(false)));
        if (await Promise.race([heard, expired])) return condition();
      }
      return true;
    } finally {
      expiry.abort();
    }
  }

  /** Ends the supervisor, kindly first, and returns when it and every task of it is gone. */
  async end(): Promise<void> {
    if (this.#outsider !== undefined && this.report('ended') === undefined) {
      kill(-(this.#outsider.pid ?? 0));
      await once(this.#outsider, 'close');
    }
    this.#line.end();
    const kindMs = healthOf(this.pid)?.stopped === true ? 0 : 2000; // a stopped one does not hear
    if (!(await this.until(() => this.exited, kindMs))) this.#child.kill('SIGKILL');
    if (await this.#closedWithin(15_000)) return;
    for (const pid of [this.report('started')?.hostilePid, this.report('ready')?.neighbourPid]) kill(pid);
    if (!(await this.#closedWithin(2000))) throw new Error('processes of the attempt are still alive');
  }

  async #closedWithin(boundMs: number): Promise<boolean> {
    const expiry = new AbortController();
    const expired = wait(boundMs, false, { signal: expiry.signal }).catch(() => false);
    const closed = await Promise.race([this.#closed, expired]);
    expiry.abort();
    return closed;
  }
}

function kill(pid: number | undefined): void {
  if (pid === undefined || Math.abs(pid) <= 1) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone, which is what was wanted.
  }
}
