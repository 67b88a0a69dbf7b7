import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditRecord } from '../../lib/broker/index.js';
import { TriggerHost, type RunTrigger, type TriggerHostOptions, type TriggerStateChanges } from '../../lib/hosts/index.js';
import { until } from './processes.js';

let ids = 0;
export const nextId = (): number => ++ids;

export type Wanted = Partial<RunTrigger> & { readonly source?: string };

const good = `import { sleep } from 'sallyport/trigger'; export default async ({ kwargs }) => { await sleep(10); return { answer: kwargs.question ?? 42 }; };`;

/** Fires when it is told to, by a file that comes into being: so a test decides what happens before. */
export const waiting = `import { existsSync } from 'node:fs'; import { sleep } from 'sallyport/trigger';
  export default async ({ kwargs, signal }) => { while (!existsSync(new URL('./go-' + kwargs.go, import.meta.url))) await sleep(20, signal); return 'went'; };`;

/** A bundle for each of two teams, with files that tests write. */
export class Bundles {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-trigger-')));
  readonly teams = Object.fromEntries(['red', 'blue'].map((team) => [team, { bundles: { b: join(this.folder, team) } }]));
  #files = 0;

  constructor() {
    for (const team of Object.keys(this.teams)) {
      mkdirSync(join(this.folder, team));
      writeFileSync(join(this.folder, team, 'secret.txt'), `of ${team}`);
    }
  }

  /** A trigger with a file of its own, of team red unless it says otherwise. */
  trigger({ source = good, ...more }: Wanted = {}): RunTrigger {
    const team_name = more.team_name ?? 'red';
    const classpath = more.classpath ?? `trigger-${++this.#files}.mjs`;
    if (more.classpath === undefined) writeFileSync(join(this.folder, team_name, classpath), source);
    return { id: nextId(), team_name, bundle_info: { name: 'b' }, classpath, ...more };
  }

  /** One that fires when {@link go} says so. */
  waiting(go: string, more: Wanted = {}): RunTrigger {
    return this.trigger({ source: waiting, kwargs: { go }, ...more });
  }

  go(name: string): void {
    for (const team of Object.keys(this.teams)) writeFileSync(join(this.folder, team, `go-${name}`), '');
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A host, and all that it has told. */
export class Watched implements AsyncDisposable {
  readonly host: TriggerHost;
  readonly events = new Map<number, unknown[]>();
  readonly finished = new Set<number>();
  readonly failures = new Map<number, string>();
  readonly lines: string[] = [];
  readonly records: AuditRecord[] = [];

  constructor(options: Pick<TriggerHostOptions, 'teams'> & Partial<TriggerHostOptions>) {
    this.host = new TriggerHost({
      onChanges: (changes) => this.#hear(changes),
      onLog: ({ line }) => this.lines.push(line),
      audit: (record) => this.records.push(record),
      ...options,
    });
  }

  #hear({ events, finished, failures }: TriggerStateChanges): void {
    for (const [id, { payload }] of events) this.events.set(id, [...(this.events.get(id) ?? []), payload]);
    for (const id of finished) this.finished.add(id);
    for (const [id, reasons] of failures) this.failures.set(id, reasons.join('\n'));
  }

  async create(...triggers: RunTrigger[]): Promise<void> {
    await this.host.sync({ to_create: triggers });
  }

  async over(...triggers: RunTrigger[]): Promise<void> {
    await until(() => triggers.every(({ id }) => this.finished.has(id) || this.failures.has(id)));
  }

  /** Until each of these teams has a process. */
  async running(...teams: string[]): Promise<void> {
    await until(() => teams.every((team) => this.host.pids(team).length > 0));
  }

  /** The events of those that finished, the reason of those that failed. */
  outcomes(...triggers: RunTrigger[]): unknown[] {
    return triggers.map(({ id }) => (this.finished.has(id) ? this.events.get(id) : this.failures.get(id)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.host[Symbol.asyncDispose]();
  }
}
