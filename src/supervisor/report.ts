import { BrokerDenied } from '../errors.js';
import type { ExecutionApi } from '../execution-api/client.js';
import type { FinalReport } from '../execution-api/methods.js';
import type { StateUpdate } from '../execution-api/schema.js';

/** What becomes of one task instance: the task's own word while it runs, its exit when it gave none. */
export class Report implements FinalReport {
  readonly #api: Pick<ExecutionApi, 'setState'>;
  readonly #id: string;
  readonly #onClaim: () => void;
  #update: StateUpdate | undefined;
  #reason: string | undefined;
  #sent = false;

  /** @param onClaim Called when the task gave its word: from then on it should end by itself. */
  constructor(api: Pick<ExecutionApi, 'setState'>, id: string, onClaim: () => void) {
    this.#api = api;
    this.#id = id;
    this.#onClaim = onClaim;
  }

  /** The task has said what became of it. */
  get claimed(): boolean {
    return this.#update !== undefined;
  }

  /** Why, in the task's own words. */
  get reason(): string | undefined {
    return this.#reason;
  }

  claim(method: string, update: StateUpdate, reason?: string | null): void {
    if (this.#update !== undefined) throw new BrokerDenied(method, 'comes after another final message');
    this.#update = update;
    this.#reason = reason ?? undefined;
    this.#onClaim();
  }

  async send(): Promise<void> {
    if (this.#sent || this.#update === undefined) return;
    await this.#api.setState(this.#id, this.#update);
    this.#sent = true;
  }

  /**
   * Decides the state, as Airflow does: after an orderly end the task's word counts, any other end is a failure, to be
   * tried again where the server allows that. What was sent stands. Send it next.
   */
  conclude(orderly: boolean, shouldRetry: boolean): StateUpdate['state'] {
    const end_date = new Date().toISOString();
    if (!orderly && !this.#sent) this.#update = { state: shouldRetry ? 'up_for_retry' : 'failed', end_date };
    this.#update ??= { state: 'success', end_date, task_outlets: [], outlet_events: [] };
    return this.#update.state;
  }
}
