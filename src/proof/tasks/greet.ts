// A task as anyone would write one: it has no token and knows no address.

import { connections, log, variables, xcom, type TaskContext } from 'sallyport/task';

export default async function greet(context: TaskContext): Promise<string> {
  const greeting = await variables.get('greeting');
  const warehouse = await connections.get('warehouse');
  log.info('greeting', { host: warehouse.host });
  await xcom.push('greeted', warehouse.login);
  return `${greeting}, ${warehouse.login} at ${warehouse.host}: this is try ${context.ti.try_number} of ${context.ti.task_id}`;
}
