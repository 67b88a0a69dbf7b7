import { BrokerDenied, UpstreamFailed, UpstreamUnreachable } from '../errors.js';
import { apiVersionOf, type ExecutionApi, type RequestOptions, type WrittenUpdate } from '../execution-api/client.js';
import type { FinalReport } from '../execution-api/methods.js';
import type { Heartbeat, StateUpdate } from '../execution-api/schema.js';
import { toJson } from './json.js';
import type { Kept } from './reports.js';

/** What becomes of one task instance: the task's own word while it runs, its exit when it gave none. */
export class Report implements FinalReport {
  readonly #api: Pick<ExecutionApi, 'setState' | 'heartbeat'>;
  readonly #id: string;
  readonly #owner: Heartbeat;
  readonly #onClaim: (state: StateUpdate['state']) => void;
  readonly #kept: Kept | undefined;
  /** What was written down of it last. */
  #saved: (WrittenUpdate & { readonly update: StateUpdate }) | undefined;
  #update: StateUpdate | undefined;
  #reason: string | undefined;
  #refusal: string | undefined;
  /** The task's word was taken, to be sent at once: no later end changes it, whether or not the server could be reached. */
  #given = false;
  /** The server has refused what the task said, whoever says it: to say it again is of no use. */
  #unfit = false;
  /** It was sent, and what became of it is not known. */
  #unsure = false;
  #sending: Promise<void> | undefined;

  /**
   * @param owner What the server knows its process by.
   * @param onClaim Called when the task gave its word: from then on it should end by itself.
   * @param kept Where it is written down before the server is told.
   */
  constructor(api: Pick<ExecutionApi, 'setState' | 'heartbeat'>, id: string, owner: Heartbeat, onClaim: (state: StateUpdate['state']) => void, kept?: Kept) {
    this.#api = api;
    this.#id = id;
    this.#owner = owner;
    this.#onClaim = onClaim;
    this.#kept = kept;
  }

  /** The task has said what became of it. */
  get claimed(): boolean {
    return this.#update !== undefined;
  }

  /** Why, in the task's own words. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** From now on the task is not asked any more. */
  close(reason: string): void {
    this.#refusal ??= reason;
  }

  claim(method: string, update: StateUpdate, reason?: string | null): void {
    if (this.#refusal !== undefined) throw new BrokerDenied(method, this.#refusal);
    if (this.#update !== undefined) throw new BrokerDenied(method, 'comes after another final message');
    this.#update = update;
    this.#reason = reason ?? undefined;
    this.#onClaim(update.state);
  }

  /**
   * Tells the server while the task waits, once. Where the server cannot be asked the task is not told: its word is taken all the same, and
   * sent again after its end. What the server refuses the task gets to know.
   */
  async send(): Promise<void> {
    if (this.#update === undefined) return;
    this.#given = true;
    try {
      await this.deliver({ attempts: 1 });
    } catch (error) {
      if (isPassing(error)) return;
      this.#given = false;
      this.#unfit = error instanceof UpstreamFailed && error.status === 422;
      throw error;
    }
  }

  /**
   * Decides the state, as Airflow does: after an orderly end the task's word counts, any other end is a failure, to be
   * tried again where the server allows that. A word that was taken stands, and one that the server cannot take is a failure too:
   * else the task instance would stay as it is. Deliver it next.
   */
  conclude(orderly: boolean, shouldRetry: boolean): StateUpdate['state'] {
    const end_date = new Date().toISOString();
    if ((!orderly && !this.#given) || this.#unfit) this.#update = { state: shouldRetry ? 'up_for_retry' : 'failed', end_date };
    this.#update ??= { state: 'success', end_date, task_outlets: [], outlet_events: [] };
    return this.#update.state;
  }

  /** Has the server take it; does nothing where it has. One at a time: a second one waits for the first, and may find nothing to do. */
  async deliver(options: { readonly attempts?: number } = {}): Promise<void> {
    while (this.#sending !== undefined) {
      try {
        return await this.#sending;
      } catch {
        // Tried again below, unless somebody was faster.
      }
    }
    const update = this.#update;
    if (update === undefined) return;
    this.#sending = this.#setState(update, options);
    try {
      await this.#sending; // kept where it succeeds: that is what became of it
    } catch (error) {
      this.#sending = undefined;
      throw error;
    }
  }

  async #setState(update: StateUpdate, options: { readonly attempts?: number }): Promise<void> {
    if (this.#saved?.update !== update) {
      this.#saved = { update, state: update.state, json: await toJson(update), apiVersion: apiVersionOf(update) };
      await this.#kept?.save(this.#saved);
    }
    try {
      if (this.#unsure) await sayAgain(this.#api, this.#id, this.#owner, this.#saved, options);
      else await this.#api.setState(this.#id, this.#saved, options);
    } catch (error) {
      this.#unsure ||= isPassing(error);
      throw error;
    }
  }
}

/**
 * Says a word again whose answer was lost, and asks first whether the try is still this one's: what was answered while nobody heard it may have
 * been acted upon, and a task that was put off run on elsewhere under the same id, which a second word would put off anew. What does not run
 * cannot be changed, and says whether it is as we would have it.
 */
export async function sayAgain(api: Pick<ExecutionApi, 'setState' | 'heartbeat'>, id: string, owner: Heartbeat, word: WrittenUpdate, options: RequestOptions = {}): Promise<void> {
  for (let left = options.attempts ?? 5; ; left--) {
    try {
      await api.heartbeat(id, owner, options);
    } catch (error) {
      if (!(error instanceof UpstreamFailed && ((error.status === 409 && error.reason === 'not_running') || (error.status === 410 && error.reason === 'not_found')))) throw error;
    }
    try {
      return await api.setState(id, word, { ...options, attempts: 1, repeated: true });
    } catch (error) {
      if (left <= 1 || !isPassing(error)) throw error;
    }
  }
}

/** Whether it may go better later: nobody answered, or not for reasons of what was asked. */
export function isPassing(error: unknown): boolean {
  if (error instanceof UpstreamUnreachable) return true;
  return error instanceof UpstreamFailed && (error.status >= 500 || error.status === 408 || error.status === 429 || isNobodys(error));
}

/** A page of what stands before the server, while that is away: the API gives its reasons. */
function isNobodys({ status, reason }: UpstreamFailed): boolean {
  return reason === undefined && (status === 404 || status === 409 || status === 410);
}
