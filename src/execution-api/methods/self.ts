import type { Identity as TaskIdentity, Resource } from '../../authorization/index.js';
import { BrokerDenied } from '../../errors.js';

/** Whom the channel belongs to: known from the descriptor, never from a message. */
export type Identity = Pick<TaskIdentity, 'id' | 'dag_id' | 'run_id' | 'task_id' | 'map_index' | 'try_number'>;

type Named = { readonly [Field in keyof Identity]?: Identity[Field] | null | undefined };

/** The task that a table is for. What a message says of it is compared; what it leaves out, or sends as nil, is filled in. */
export class Self {
  readonly identity: Identity;

  constructor(identity: Identity) {
    this.identity = identity;
  }

  /** Whether a message that names these fields is about this very task instance. */
  is(named: Named): boolean {
    const { identity } = this;
    if (named.id != null && named.id.toLowerCase() !== identity.id.toLowerCase()) return false;
    return (['dag_id', 'run_id', 'task_id', 'map_index'] as const).every((field) => named[field] == null || named[field] === identity[field]);
  }

  /**
   * The task instance's own id, for a message that may name one.
   * @throws {BrokerDenied} `ERR_BROKER_DENIED`: it names another.
   */
  id(method: string, ti_id: string | null | undefined): string {
    if (!this.is({ id: ti_id })) throw new BrokerDenied(method, 'names another task instance');
    return this.identity.id;
  }

  /** Its run, for a message that is about one. */
  ownsRun(dag_id: string, run_id: string): boolean {
    return dag_id === this.identity.dag_id && run_id === this.identity.run_id;
  }

  /** For the rules of a deployment. */
  get resource(): Resource {
    const { dag_id, run_id, task_id } = this.identity;
    return { kind: 'task_instance', dag_id, run_id, task_id };
  }
}
