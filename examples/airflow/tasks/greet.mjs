import { connections, variables, xcom } from 'sallyport/task';

export default async function () {
  const greeting = await variables.get('greeting');
  const { host } = await connections.get('warehouse');
  console.log('connecting to', host);
  await xcom.push('seen', { host });
  return `${greeting}, ${host}`; // pushed as return_value
}
