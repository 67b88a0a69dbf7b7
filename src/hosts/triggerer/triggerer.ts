import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { UpstreamFailed } from '../../errors.js';
import type { HandedTrigger } from '../../execution-api/schema.js';
import type { TriggererRef } from '../../execution-api/triggerers.js';
import { Slots } from '../slots.js';
import { TriggerHost } from '../trigger/host.js';
import type { TriggerStateChanges } from '../trigger/messages.js';
import type { RunTrigger } from '../trigger/run-trigger.js';
import { checkTriggererOptions, type TriggererEvent, type TriggererOptions, type TriggererSubject } from './options.js';

interface Waiting {
  readonly trigger: HandedTrigger;
  readonly since: number;
}

const leastPauseMs = 500;
/** Well within the time after which the server misses it. */
const mostPauseMs = 5_000;
/** What is told at once. */
const mostTold = 16;
/** Each may be six in JSON; the server takes a million. */
const mostReasonChars = 100_000;

/**
 * Has a trigger host run what tasks of a `sallyport/server` have deferred to, and tells the server what comes of it: the first event, or
 * the failure, by which the task goes on.
 *
 * While the server is away, triggers go on, and what they say waits in their own processes, which say it again every second.
 */
export class Triggerer implements AsyncDisposable {
  readonly #options: TriggererOptions;
  readonly #self: TriggererRef;
  readonly #host: TriggerHost;
  readonly #waiting = new Map<number, Waiting>();
  /** What came of these the server has to be told. */
  readonly #owed = new Set<number>();
  #paid: () => void = () => {};
  readonly #slots = new Slots(mostTold);
  readonly #stopping = new AbortController();
  readonly #giveUp = new AbortController();
  #running: Promise<void> | undefined;
  #ended: Promise<void> | undefined;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`, {@link PolicyInvalid} `ERR_POLICY_INVALID`. System error: a bundle's folder is missing. */
  constructor(options: TriggererOptions) {
    checkTriggererOptions(options);
    setMaxListeners(0, this.#giveUp.signal); // everything that is being told listens
    this.#options = { ...options };
    const { credential, bundles, policy, audit, masking, onLog } = options;
    this.#self = { id: randomUUID(), credential };
    this.#host = new TriggerHost({
      teams: Object.fromEntries(Object.entries(bundles).map(([name, folder]) => [name, { bundles: { [name]: folder }, ...(policy && { policy }) }])),
      lookup: ({ id }) => options.api.triggerReads(this.#self, id),
      onChanges: (changes) => this.#heard(changes),
      ...(audit && { audit }),
      ...(masking !== undefined && { masking }),
      ...(onLog && { onLog }),
    });
  }

  /** How many triggers wait here. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** The processes of a bundle's triggers. */
  pids(bundle: string): number[] {
    return this.#host.pids(bundle);
  }

  /** Works until it is told to stop. Never rejects: what goes wrong is an event, and tried again. */
  run(): Promise<void> {
    return (this.#running ??= this.#work().then(() => this.#end()));
  }

  /**
   * Ends its triggers, which go on elsewhere from their beginning; what they have said is told first, and a server that does not answer is
   * waited for. A second time: not any longer. `run()` resolves then.
   */
  stop(): void {
    if (this.#stopping.signal.aborted) this.#giveUp.abort();
    this.#stopping.abort();
  }

  /** Stops and waits no longer than it must. Twice is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    this.stop();
    await (this.#running ?? this.#end());
  }

  async #work(): Promise<void> {
    const { pollMs = 1_000 } = this.#options;
    const { signal } = this.#stopping;
    let pauseMs = 0;
    while (!signal.aborted) {
      try {
        const more = await this.#sync(signal);
        pauseMs = more ? 0 : pollMs;
      } catch (error) {
        if (signal.aborted) break;
        pauseMs = Math.min(Math.max(pauseMs * 2, leastPauseMs), mostPauseMs);
        this.#tell({ kind: 'trouble', error: error as Error });
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
    }
  }

  /** @returns Whether there may be more at once. */
  async #sync(signal: AbortSignal): Promise<boolean> {
    const { api, bundles, capacity = 1000 } = this.#options;
    const running = [...this.#waiting.keys()];
    const { to_create, to_cancel } = await api.syncTriggerer(this.#self, { bundles: Object.keys(bundles), capacity, running }, { attempts: 1, signal });
    for (const id of to_cancel) this.#forget(id, (subject) => ({ ...subject, kind: 'cancelled' }));
    await Promise.all(to_create.filter(({ id }) => !this.#waiting.has(id)).map((trigger) => this.#begin(trigger)));
    return to_create.length > 0 && this.#waiting.size < capacity;
  }

  async #begin(trigger: HandedTrigger): Promise<void> {
    const { id, bundle_info, classpath, ti, kwargs, declares } = trigger;
    this.#waiting.set(id, { trigger, since: performance.now() });
    this.#tell({ ...this.#subject(id), kind: 'begun' });
    try {
      if (typeof kwargs === 'string') throw new Error('its arguments are encrypted, and no triggerer here has the key: defer with plain ones');
      const { grants = 'declared' } = this.#options;
      const wanted: RunTrigger = { id, team_name: bundle_info.name, bundle_info, classpath, ti, kwargs, grants, ...(declares && { declares }) };
      await this.#host.sync({ to_create: [wanted] });
    } catch (error) {
      // Wrong arguments: the host has not begun it. The server is told as of any failure, and again until it has heard.
      void this.#untilHeard(id, [(error as Error).message]);
    }
  }

  // --- What comes of them

  /** @throws Where something could not be told: the host says all of it again, and what was taken is then known. */
  async #heard({ events, finished, failures }: TriggerStateChanges): Promise<void> {
    const first = new Map(events.toReversed());
    const told = await Promise.allSettled([
      ...[...first].map(([id, { payload }]) => this.#fire(id, payload)),
      ...failures.map(([id, reasons]) => (first.has(id) ? undefined : this.#fail(id, reasons))),
    ]);
    for (const result of told) if (result.status === 'rejected') throw this.#troubled(result.reason as Error);
    // Over by its event, one that has ended is forgotten; without one, which no host lets pass, somebody would wait for ever.
    for (const id of finished) await this.#fail(id, ['it has ended without an event']);
  }

  async #fire(id: number, payload: unknown): Promise<void> {
    const { api } = this.#options;
    const taken = await this.#once(id, (options) => api.fireTrigger(this.#self, id, payload, options));
    if (taken === undefined) return;
    if (taken instanceof UpstreamFailed) return this.#fail(id, [`the server does not take its event: it was answered ${taken.status}`]);
    this.#forget(id, (subject) => ({ ...subject, kind: taken ? 'fired' : 'cancelled' }));
  }

  async #fail(id: number, reasons: readonly string[]): Promise<void> {
    const { api } = this.#options;
    const taken = await this.#once(id, (options) => api.failTrigger(this.#self, id, inShort(reasons), options));
    if (taken === undefined) return;
    if (taken instanceof UpstreamFailed) throw taken;
    this.#forget(id, (subject) => (taken ? { ...subject, kind: 'failed', reasons } : { ...subject, kind: 'cancelled' }));
  }

  /**
   * Tells the server of a trigger that it waits for, as far as is known here.
   *
   * @returns Undefined where it does not; true where it was heard; false where nobody waits; an error for what it will not take.
   * @throws Where it could not be told now.
   */
  async #once(id: number, tell: (options: { readonly attempts: number; readonly signal: AbortSignal }) => Promise<void>): Promise<boolean | UpstreamFailed | undefined> {
    const { signal } = this.#giveUp;
    if (this.#waiting.has(id)) this.#owed.add(id);
    return this.#slots.run(async () => {
      if (!this.#waiting.has(id)) return undefined;
      try {
        await tell({ attempts: 1, signal });
      } catch (error) {
        if (!(error instanceof UpstreamFailed)) throw error;
        // A proxy's own page says nothing about who waits.
        if (error.status === 404 && error.reason === 'not_found') return false;
        if (error.status !== 413 && error.status !== 422) throw error;
        return error;
      }
      return true;
    }, signal);
  }

  #forget(id: number, event: (subject: TriggererSubject) => TriggererEvent): void {
    if (!this.#waiting.has(id)) return;
    const subject = this.#subject(id);
    this.#waiting.delete(id);
    this.#owed.delete(id);
    if (this.#owed.size === 0) this.#paid();
    void this.#host.sync({ to_cancel: [id] }).catch(() => {}); // it may have been disposed of
    this.#tell(event({ ...subject, waiting: this.#waiting.size }));
  }

  #subject(id: number): TriggererSubject {
    const { trigger, since } = this.#waiting.get(id) as Waiting;
    const { ti, classpath, bundle_info } = trigger;
    return { id, ti, classpath, bundle: bundle_info.name, ms: performance.now() - since, waiting: this.#waiting.size };
  }

  async #untilHeard(id: number, reasons: readonly string[]): Promise<void> {
    const { signal } = this.#giveUp;
    while (!signal.aborted) {
      try {
        return await this.#fail(id, reasons);
      } catch (error) {
        this.#troubled(error as Error);
        await sleep(1_000, undefined, { signal }).catch(() => {});
      }
    }
  }

  #troubled(error: Error): Error {
    if (!this.#giveUp.signal.aborted) this.#tell({ kind: 'trouble', error });
    return error;
  }

  #tell(event: TriggererEvent): void {
    this.#options.onEvent?.(event);
  }

  #end(): Promise<void> {
    return (this.#ended ??= this.#leave());
  }

  async #leave(): Promise<void> {
    const { api } = this.#options;
    const { signal } = this.#giveUp;
    await new Promise<void>((resolve) => {
      this.#paid = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (this.#owed.size === 0 || signal.aborted) resolve();
    });
    this.#giveUp.abort();
    await this.#host[Symbol.asyncDispose]();
    this.#waiting.clear();
    await api.endTriggerer(this.#self, { attempts: 1 }).catch(() => {}); // it is missed in half a minute
  }
}

function inShort(reasons: readonly string[]): string[] {
  let left = mostReasonChars;
  return reasons.slice(0, 100).map((reason) => {
    const short = reason.slice(0, Math.min(left, 16_000));
    left -= short.length;
    return short;
  });
}
