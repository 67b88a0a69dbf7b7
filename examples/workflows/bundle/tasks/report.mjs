import { variables, xcom } from 'sallyport/task';

export default async () => {
  const { region, sold } = await xcom.pull({ task_id: 'extract' });
  console.log(`${sold.reduce((sum, count) => sum + count)} sold in the ${region}`);
  console.log(`salaries: ${await variables.get('salaries').catch(({ code }) => code)}`);
};
