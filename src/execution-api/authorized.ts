import type { Action, Authorizer, Identity, Resource } from '../authorization/index.js';
import type { MethodTable } from '../broker/index.js';
import { BrokerDenied } from '../errors.js';
import type { Question, Row } from './methods/row.js';

/**
 * The same rows, each asking the deployment's rules when it was granted: what is granted says what a task may ask for, the
 * rules what its DAG and team may have. For a server that decides nothing, as Airflow's.
 */
export function authorized(table: Readonly<Record<string, Row>>, authorizer: Authorizer, identity: Identity): MethodTable {
  const allows = async (action: Action, resource: Resource): Promise<boolean> => (await authorizer.decide(identity, action, resource)).allowed;

  function asking(name: string, row: Row): Row {
    return {
      ...row,
      async handler(params, context) {
        for (const question of row.about(params)) await pass(name, question);
        return row.handler(params, { ...context, allows });
      },
    };
  }

  async function pass(name: string, [action, resource]: Question): Promise<void> {
    const { allowed, rule } = await authorizer.decide(identity, action, resource);
    if (!allowed) throw new BrokerDenied(name, `is refused for these values by the rule "${rule}"`);
  }

  return Object.fromEntries(Object.entries(table).map(([name, row]) => [name, asking(name, row)]));
}
