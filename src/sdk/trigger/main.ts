// What a trigger process runs: `node main.js`. Is told over fd 0 which triggers to run, and tells what comes of them. One request is
// always waiting for its answer, by which the host learns that nothing blocks this process, and this process of its next triggers.

import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { setClient } from '../client.js';
import { findLog, log } from '../log.js';
import { provideTaskModule } from '../provide.js';
import { shared } from '../shared.js';
import { TriggerClient } from './client.js';
import { isEmpty, noChanges, Runner, type Changes } from './runner.js';
import { current, noteTurns } from './scope.js';
import type { RunTrigger } from './types.js';

interface TriggerStateSync {
  readonly to_create: readonly RunTrigger[];
  readonly to_cancel: readonly number[];
}

const retryMs = 1_000;

class Reporter {
  readonly #client: TriggerClient;
  readonly #runner: Runner;
  #reporting = false;

  constructor(client: TriggerClient) {
    this.#client = client;
    this.#runner = new Runner(() => setImmediate(() => void this.#report())); // what comes at once is told at once
  }

  get runner(): Runner {
    return this.#runner;
  }

  /** Never settles but by the end of the channel. */
  async poll(): Promise<never> {
    for (;;) this.#apply(await this.#ask(noChanges()));
  }

  /** In order, one message at a time: what could not be told is told again. */
  async #report(): Promise<void> {
    if (this.#reporting) return;
    this.#reporting = true;
    for (let changes = this.#runner.take(); !isEmpty(changes); changes = this.#runner.take()) await this.#tell(changes);
    this.#reporting = false;
  }

  async #tell(changes: Changes): Promise<void> {
    try {
      this.#apply(await this.#ask(changes));
    } catch (error) {
      if (error instanceof RangeError) return this.#tellLess(changes, error);
      log.warning('what triggers have done could not be told, and is told again', { error });
      this.#runner.putBack(changes);
      await sleep(retryMs);
    }
  }

  /** One message holds so much and no more. An event that is too large is its trigger's failure. */
  async #tellLess({ events, finished, failures }: Changes, error: RangeError): Promise<void> {
    const [first] = events;
    if (events.length === 1 && first !== undefined) {
      if (!this.#runner.fail(first[0], error)) failures.push([first[0], [error.message]]);
      return this.#tell({ events: [], finished: finished.filter((id) => id !== first[0]), failures });
    }
    const half = events.length >> 1;
    await this.#tell({ ...noChanges(), events: events.slice(0, half) });
    await this.#tell({ events: events.slice(half), finished, failures });
  }

  async #ask(changes: Changes): Promise<TriggerStateSync> {
    return (await this.#client.request('TriggerStateChanges', { ...changes })) as TriggerStateSync;
  }

  #apply({ to_create, to_cancel }: TriggerStateSync): void {
    for (const id of to_cancel) this.#runner.cancel(id);
    for (const trigger of to_create) {
      provideTaskModule(trigger.file);
      this.#runner.create(trigger);
    }
  }
}

/** What a trigger's code threw where nothing could catch it is that trigger's failure; nobody's ends the process. */
function blameUncaught(runner: Runner): void {
  const blame = (error: unknown): void => {
    const trigger = current();
    if (trigger !== undefined) return void runner.fail(trigger.id, error);
    log.critical('an error that belongs to no trigger', { error });
    process.exit(1);
  };
  process.on('uncaughtException', blame);
  process.on('unhandledRejection', blame);
}

/** What a line of the log that all triggers here share begins with. */
function whose(): object {
  const trigger = current();
  if (trigger === undefined) return {};
  const { id: trigger_id, ti } = trigger;
  if (ti === null) return { trigger_id };
  const { dag_id, run_id, task_id, map_index } = ti;
  return { dag_id, run_id, task_id, ...(map_index >= 0 && { map_index }), trigger_id };
}

async function main(): Promise<never> {
  findLog();
  shared.whose = whose;
  const client = new TriggerClient(0);
  await client.first('StartTriggerer');
  setClient(client);
  // fd 0 is the channel: code that reads its standard input finds it empty.
  Object.defineProperty(process, 'stdin', { value: Readable.from([]), configurable: true });
  noteTurns();
  const reporter = new Reporter(client);
  blameUncaught(reporter.runner);
  return reporter.poll();
}

main().catch((error: unknown) => {
  log.critical('triggers can no longer be run', { error });
  process.exit(1);
});
