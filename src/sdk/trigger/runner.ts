import { pathToFileURL } from 'node:url';
import { TaskError } from '../error.js';
import { withPlace } from './place.js';
import { within } from './scope.js';
import type { RunTrigger, TriggerFunction } from './types.js';

/** What came of triggers since it was last told. Airflow's TriggerStateChanges. */
export interface Changes {
  readonly events: (readonly [id: number, event: { readonly payload: unknown }])[];
  readonly finished: number[];
  readonly failures: (readonly [id: number, reasons: readonly string[]])[];
}

export const noChanges = (): Changes => ({ events: [], finished: [], failures: [] });

export const isEmpty = ({ events, finished, failures }: Changes): boolean => events.length + finished.length + failures.length === 0;

const longestReason = 8000;

/** Runs triggers side by side. Each ends in one line of `finished` or `failures`, unless it is cancelled. */
export class Runner {
  readonly #running = new Map<number, { readonly trigger: RunTrigger; readonly controller: AbortController }>();
  readonly #onChange: () => void;
  #changes = noChanges();

  /** @param onChange Called when there is something to {@link take}. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  create(trigger: RunTrigger): void {
    if (this.#running.has(trigger.id)) return;
    const controller = new AbortController();
    this.#running.set(trigger.id, { trigger, controller });
    within(trigger, () => void this.#run(trigger, controller.signal));
  }

  /** Nothing more is told of it. Its signal is aborted; that it ends is its own to do. */
  cancel(id: number): void {
    this.#end(id, new TaskError('ERR_TRIGGER_CANCELLED', 'nobody waits for this trigger any more'));
  }

  /** @returns whether it was running. */
  #end(id: number, reason: unknown): boolean {
    const running = this.#running.get(id);
    if (running === undefined) return false;
    this.#running.delete(id);
    within(running.trigger, () => running.controller.abort(reason)); // its listeners are its code
    return true;
  }

  /** What there is to tell, handed over. */
  take(): Changes {
    const taken = this.#changes;
    this.#changes = noChanges();
    return taken;
  }

  /** What could not be told, back to where it was taken from. */
  putBack({ events, finished, failures }: Changes): void {
    const { events: later, finished: alsoFinished, failures: alsoFailed } = this.#changes;
    this.#changes = { events: [...events, ...later], finished: [...finished, ...alsoFinished], failures: [...failures, ...alsoFailed] };
  }

  /** Ends a trigger for a reason that its own code did not catch. @returns whether it was running. */
  fail(id: number, error: unknown): boolean {
    if (!this.#end(id, error)) return false;
    this.#changes.failures.push([id, [describe(error)]]);
    this.#onChange();
    return true;
  }

  async #run(trigger: RunTrigger, signal: AbortSignal): Promise<void> {
    const { id, ti, kwargs } = trigger;
    let fired = false;
    const fire = (value: unknown): void => {
      if (!this.#running.has(id)) return;
      const payload = JSON.parse(JSON.stringify(value) ?? 'null') as unknown; // a Date is its text, as everywhere in JSON
      fired = true;
      this.#changes.events.push([id, { payload }]);
      this.#onChange();
    };
    try {
      const run = await load(trigger);
      const made = run(Object.freeze({ kwargs, signal, ti }));
      if (isIterable(made)) {
        for await (const value of made) {
          if (!this.#running.has(id)) return;
          fire(value);
        }
      } else {
        const value = await made;
        if (value !== undefined) fire(value);
      }
      if (!fired) throw new TaskError('ERR_TRIGGER_SILENT', 'the trigger has ended without an event');
      if (!this.#running.delete(id)) return;
      this.#changes.finished.push(id);
      this.#onChange();
    } catch (error) {
      this.fail(id, error);
    }
  }
}

const isIterable = (value: unknown): value is AsyncIterable<unknown> => typeof value === 'object' && value !== null && Symbol.asyncIterator in value;

async function load({ file, name }: RunTrigger): Promise<TriggerFunction> {
  const exported = await imported(file);
  const found = Object.hasOwn(exported, name) ? exported[name] : undefined;
  if (typeof found !== 'function') throw new TaskError('ERR_TRIGGER_FILE', `the trigger's file has no function as its export "${name}"`);
  return found as TriggerFunction;
}

async function imported(file: string): Promise<Record<string, unknown>> {
  try {
    return (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (error) {
    throw await withPlace(error, file);
  }
}

function describe(error: unknown): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return text.split('\n').filter((line) => !/^ {4}at .*\(?node:/.test(line)).join('\n').slice(0, longestReason);
}
