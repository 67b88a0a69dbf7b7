import { fileURLToPath } from 'node:url';
import { method, type Method, type MethodTable } from '../../broker/index.js';
import { BrokerDenied, TaskTimeout } from '../../errors.js';
import { assertJson } from '../../execution-api/methods/fields.js';
import { TaskMasking } from '../../execution-api/methods/masking.js';
import { Masker } from '../../secrets/masker.js';
import { endedBy, startChild, type Child } from '../child.js';
import { lookups } from '../lookups.js';
import type { CellEnd, CellOptions, Entry } from './cell-options.js';
import { lookupsOfEach } from './lookups-of-each.js';
import { idsOf, StateChanges } from './messages.js';
import { suspectIn } from './suspect.js';

interface Held extends Entry {
  readonly table: MethodTable;
}

interface Sync {
  readonly type: 'TriggerStateSync';
  readonly to_create: readonly object[];
  readonly to_cancel: readonly number[];
}

const main = fileURLToPath(new URL('../../sdk/trigger/main.js', import.meta.url));
/** Of ids that ended or were cancelled: what the child says of them is late, and no forgery. */
const mostRemembered = 10_000;
/** To create in one message, which a frame has room for. */
const mostAtOnce = 500;
const mostBytesAtOnce = 1 << 20;
/** Of locked memory, for all its triggers together: each may ask in the others' names. */
const maskingShares = 4;
/** How long the event loop of this process may itself have been late. */
const graceMs = 250;

/** One process with some of a team's triggers. */
export class Cell {
  /** Resolves when the process has ended, or could not be started. Never rejects. */
  readonly ended: Promise<CellEnd>;
  readonly #options: CellOptions;
  readonly #masker: Masker | undefined;
  readonly #masking: TaskMasking;
  readonly #held = new Map<number, Held>();
  readonly #gone = new Set<number>();
  /** What became of these is being told. */
  readonly #ending = new Set<number>();
  readonly #toCreate = new Map<number, Held>();
  readonly #toCancel = new Set<number>();
  #child: Child | undefined;
  #suspect: number | undefined;
  #cause: string | undefined;
  #closing = false;
  #asking = 0;
  #asked = false;
  #silence: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;

  constructor(options: CellOptions, entries: readonly Entry[]) {
    this.#options = options;
    this.#masker = options.masking === false ? undefined : new Masker(options.masking);
    this.#masking = new TaskMasking(this.#masker, maskingShares);
    for (const entry of entries) this.add(entry);
    this.ended = this.#run();
  }

  get pid(): number | undefined {
    return this.#child?.task.pid;
  }

  /** How many triggers it has. */
  get size(): number {
    return this.#held.size;
  }

  /** What it has to run. */
  get entries(): Entry[] {
    return [...this.#held.values()];
  }

  /** Whether its child was told of this trigger: nothing of one that it was not told of has run. */
  tried(id: number): boolean {
    return this.#held.has(id) && !this.#toCreate.has(id);
  }

  add({ trigger, file, name }: Entry): void {
    const { lookup, authorizer, team } = this.#options;
    const { ti, grants = 'declared', declares = {} } = trigger;
    const identity = ti == null ? undefined : { ...ti, map_index: ti.map_index ?? -1 };
    const held = { trigger, file, name, table: lookups({ lookup: typeof lookup === 'function' ? lookup(trigger) : lookup, grants, declares, identity, team, authorizer, masker: this.#masker, masking: this.#masking }) };
    this.#held.set(trigger.id, held);
    this.#gone.delete(trigger.id);
    this.#toCreate.set(trigger.id, held);
    this.#wake?.();
  }

  cancel(id: number): void {
    if (!this.#held.has(id)) return;
    this.forget(id);
    if (!this.#toCreate.delete(id)) this.#toCancel.add(id);
    this.#wake?.();
  }

  /** It has ended: its child may still say so. */
  forget(id: number): void {
    if (!this.#held.delete(id)) return;
    this.#gone.add(id);
    if (this.#held.size === 0) this.#options.onIdle();
    if (this.#gone.size > mostRemembered) for (const oldest of this.#gone) { this.#gone.delete(oldest); break; }
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#child?.task.kill('SIGKILL');
    this.#wake?.();
    await this.ended;
  }

  async #run(): Promise<CellEnd> {
    const { team, policy, audit, onLog, startMs } = this.#options;
    let suspect: number | undefined;
    try {
      this.#child = await startChild({
        main,
        policy,
        name: team,
        task: ({ trigger_id }) => (typeof trigger_id === 'number' && this.#held.has(trigger_id) ? `${team}/${trigger_id}` : team),
        first: { type: 'StartTriggerer' },
        methods: this.#methods(),
        audit,
        masker: this.#masker,
        onLog,
        signal: undefined,
        collect: async (scratch) => { suspect = await suspectIn(scratch); },
      });
      if (this.#closing) this.#child.task.kill('SIGKILL');
      this.#expect(startMs);
      const exit = await this.#child.ended;
      return { cause: this.#cause ?? endedBy(exit), suspect: this.#suspect ?? suspect, unstarted: !this.#asked };
    } catch (error) {
      return { cause: `the process could not be started: ${(error as Error).message}`, suspect: undefined, unstarted: true };
    } finally {
      clearTimeout(this.#silence);
      this.#closing = true;
      this.#wake?.();
      this.#masker?.destroy();
    }
  }

  /** From now on the child must ask within so much time, or something blocks it. */
  #expect(ms: number): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      // What it has sent in the meantime is read first.
      this.#silence = setTimeout(() => void this.#blocked(ms), graceMs);
    }, ms);
  }

  async #blocked(ms: number): Promise<void> {
    const task = this.#child?.task;
    if (task === undefined || this.#asking > 0 || this.#closing) return;
    this.#suspect = await suspectIn(task.scratch);
    this.#cause = this.#asked ? `it blocked the process that it shares for more than ${ms} ms` : `the process was not ready after ${ms} ms`;
    task.end(new TaskTimeout('blockedMs', ms));
  }

  #methods(): MethodTable {
    return { ...lookupsOfEach(this.#options, (id) => this.#held.get(id)?.table), TriggerStateChanges: this.#changes() };
  }

  #changes(): Method {
    return method({
      params: StateChanges,
      permit: (changes) => {
        if (!idsOf(changes).every((id) => this.#held.has(id) || this.#gone.has(id))) throw new BrokerDenied('TriggerStateChanges', 'names a trigger that is none of this process');
        for (const [, { payload }] of changes.events ?? []) assertJson('TriggerStateChanges', 'payload', payload);
        return changes;
      },
      handler: (changes) => this.#answer(changes),
    });
  }

  /** A child that has nothing to say waits for what comes next; by asking again it shows that it lives. */
  async #answer(changes: StateChanges): Promise<Sync> {
    this.#asking++;
    this.#asked = true;
    clearTimeout(this.#silence);
    try {
      if (idsOf(changes).length > 0) await this.#tell(changes);
      else if (this.#toCreate.size + this.#toCancel.size === 0) await this.#news();
      return this.#sync();
    } finally {
      this.#asking--;
      if (this.#asking === 0 && !this.#closing) this.#expect(this.#options.blockedMs);
    }
  }

  async #tell({ events, finished, failures }: StateChanges): Promise<void> {
    const shown = (text: string): string => this.#masker?.redact(text) ?? text;
    // Of what a child says of one trigger's end the first word counts, while it is being told too.
    const ends = new Set<number>();
    const isFirst = (id: number): boolean => this.#held.has(id) && !this.#ending.has(id) && !ends.has(id) && ends.add(id).has(id);
    const changes = {
      events: (events ?? []).filter(([id]) => this.#held.has(id) && !this.#ending.has(id)),
      finished: (finished ?? []).filter(isFirst),
      failures: (failures ?? []).filter(([id]) => isFirst(id)).map(([id, reasons]) => [id, (reasons ?? ['it failed']).map(shown)] as const),
    };
    if (changes.events.length + changes.finished.length + changes.failures.length === 0) return;
    for (const id of ends) this.#ending.add(id);
    try {
      await this.#options.deliver(changes);
      for (const id of ends) this.forget(id);
    } finally {
      for (const id of ends) this.#ending.delete(id);
    }
  }

  /** Until there is something to tell the child, or it is to show that it lives. */
  #news(): Promise<void> {
    this.#wake?.(); // one wait is enough: an earlier request is answered
    return new Promise((resolve) => {
      const timer = setTimeout(() => wake(), this.#options.pollMs);
      const wake = (): void => {
        clearTimeout(timer);
        if (this.#wake === wake) this.#wake = undefined;
        resolve();
      };
      this.#wake = wake;
    });
  }

  #sync(): Sync {
    const to_create: object[] = [];
    let bytes = 0;
    for (const [id, { trigger: { ti = null, kwargs = {}, classpath }, file, name }] of this.#toCreate) {
      if (to_create.length === mostAtOnce || bytes > mostBytesAtOnce) break;
      bytes += JSON.stringify(kwargs).length;
      to_create.push({ id, ti, classpath, kwargs, file, name });
      this.#toCreate.delete(id);
    }
    const to_cancel = [...this.#toCancel].slice(0, mostRemembered);
    for (const id of to_cancel) this.#toCancel.delete(id);
    return { type: 'TriggerStateSync', to_create, to_cancel };
  }
}
