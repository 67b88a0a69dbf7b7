import type { Action, Authorizer, Identity, Resource } from '../authorization/index.js';
import type { Method, MethodTable } from '../broker/index.js';
import { BrokerDenied } from '../errors.js';

type About = (params: never) => readonly [Action, Resource];
interface XComParams {
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly key: string;
}

const xcom = ({ dag_id, run_id, task_id, map_index, key }: XComParams): Resource => ({ kind: 'xcom', dag_id, run_id, task_id, map_index, key });

/** What each message is about, by the params that its row has permitted; nothing, for those about the task instance itself. */
const subjects: Readonly<Record<string, About | undefined>> = {
  GetVariable: ({ key }: { readonly key: string }) => ['read', { kind: 'variable', key }],
  GetConnection: ({ conn_id }: { readonly conn_id: string }) => ['read', { kind: 'connection', conn_id }],
  GetXCom: (params: XComParams) => ['read', xcom(params)],
  SetXCom: (params: XComParams) => ['write', xcom(params)],
  SucceedTask: undefined,
  RetryTask: undefined,
  TaskState: undefined,
  MaskSecret: undefined,
};

/**
 * The same rows, each asking the deployment's rules when it was granted: what is granted says what a task may ask for, the
 * rules what its DAG and team may have. For a server that decides nothing, as Airflow's.
 *
 * @throws {Error} A row whose subject is not known here: it would be one that nobody asks about.
 */
export function authorized(table: MethodTable, authorizer: Authorizer, identity: Identity): MethodTable {
  const rows = Object.entries(table).map(([name, row]): [string, Method] => {
    if (!Object.hasOwn(subjects, name)) throw new Error(`method "${name}" does not say what it is about`);
    const about = subjects[name];
    return [name, about === undefined ? row : asking(name, row, about, authorizer, identity)];
  });
  return Object.fromEntries(rows);
}

function asking(name: string, row: Method, about: About, authorizer: Authorizer, identity: Identity): Method {
  return {
    ...row,
    async handler(params, context) {
      const { allowed, rule } = await authorizer.decide(identity, ...about(params as never));
      if (!allowed) throw new BrokerDenied(name, `is refused for these values by the rule "${rule}"`);
      return row.handler(params, context);
    },
  };
}
