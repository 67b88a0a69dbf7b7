import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { AuditRecord } from '../broker/index.js';
import { requestChannel } from '../broker/audit.js';
import { checkOptions, invalidArgument } from '../errors.js';
import { taskChannels, type TaskStep, type TaskSteps } from './events.js';

type Attributes = Record<string, string>;
interface Settings {
  readonly description: string;
  readonly unit?: string;
}

/** As much of a Meter of `@opentelemetry/api` as is used: nothing of that package is loaded here. */
export interface Meter {
  createCounter(name: string, settings: Settings): { add(value: number, attributes?: Attributes): void };
  createUpDownCounter(name: string, settings: Settings): { add(value: number, attributes?: Attributes): void };
  createHistogram(name: string, settings: Settings): { record(value: number, attributes?: Attributes): void };
}

export interface ObserveOptions {
  /** `metrics.getMeter('sallyport')` of `@opentelemetry/api`. */
  readonly meter: Meter;
}

/** Names of methods come from tasks, and each is a time series: those that were ever granted, and no more than these many. */
const mostMethods = 200;

/**
 * Counts and measures what all supervisors of this process do, for OpenTelemetry: docs/observability.md has the names. Costs nothing
 * while it is not called; no attribute is a task's word.
 *
 * @returns Dispose it to stop.
 */
export function observe(options: ObserveOptions): Disposable {
  checkOptions('options', options, ['meter']);
  const { meter } = options;
  if (typeof meter?.createCounter !== 'function') throw invalidArgument('options.meter', 'a Meter of @opentelemetry/api', meter);
  const counter = (name: string, description: string) => meter.createCounter(`sallyport.${name}`, { description });
  const seconds = (name: string, description: string) => meter.createHistogram(`sallyport.${name}`, { description, unit: 's' });

  const running = meter.createUpDownCounter('sallyport.task.running', { description: 'Tasks that the server let run and that have not ended' });
  const ended = counter('task.ended', 'Tasks that have ended, by state');
  const refused = counter('task.refused', 'Tasks that did not run, by the code of the error');
  const unreported = counter('task.unreported', 'Tasks that have ended of which the server does not know, by state');
  const duration = seconds('task.duration', 'From the launch of a task to its end');
  const start = seconds('task.start.duration', 'From the launch of a task to the server\'s word that it runs');
  const heartbeats = counter('heartbeat.sent', 'Heartbeats, by outcome');
  const heartbeat = seconds('heartbeat.duration', 'How long the server took to answer a heartbeat');
  const requests = counter('request.answered', 'Requests of tasks, by method and outcome');
  const lost = counter('log.lost', 'Lines of tasks that are not in their logs');

  const started = new Set<string>();
  const methods = new Set<string>();
  const on = listeners();

  on('start', ({ task, durationMs }) => {
    started.add(task.id);
    running.add(1);
    start.record(durationMs / 1000);
  });
  on('heartbeat', ({ durationMs, error }) => {
    heartbeats.add(1, { outcome: error === undefined ? 'ok' : 'failed' });
    heartbeat.record(durationMs / 1000);
  });
  on('end', ({ task, durationMs, outcome: { state, reported, kept, log } }) => {
    if (started.delete(task.id)) running.add(-1); // only of those that we saw begin
    ended.add(1, { state });
    if (!reported && kept !== true && state !== 'server_terminated') unreported.add(1, { state });
    duration.record(durationMs / 1000, { state });
    if (log !== undefined && log.lost > 0) lost.add(log.lost);
  });
  on('refuse', ({ error }) => refused.add(1, { code: codeOf(error) }));
  on.request(({ method, outcome }) => {
    if (outcome !== 'denied' && methods.size < mostMethods) methods.add(method);
    requests.add(1, { method: methods.has(method) ? method : 'other', outcome });
  });
  return { [Symbol.dispose]: on.stop };
}

/** Subscriptions that end together. */
function listeners() {
  const ends: (() => void)[] = [];
  const listen = (name: string, listener: (message: unknown) => void): void => {
    subscribe(name, listener);
    ends.push(() => unsubscribe(name, listener));
  };
  const on = <S extends TaskStep>(step: S, listener: (facts: TaskSteps[S]) => void): void => listen(String(taskChannels[step].name), listener as (message: unknown) => void);
  return Object.assign(on, {
    request: (listener: (record: AuditRecord) => void): void => listen(String(requestChannel.name), listener as (message: unknown) => void),
    stop: (): void => ends.splice(0).forEach((end) => end()),
  });
}

function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : 'none';
}
