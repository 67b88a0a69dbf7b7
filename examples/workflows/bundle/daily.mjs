import { dag } from 'sallyport/dag';

export default dag({
  dag_id: 'daily_sales',
  schedule: '0 6 * * *',
  tasks: {
    extract: { file: 'tasks/extract.mjs', declares: { variables: ['region'] } },
    report: { file: 'tasks/report.mjs', after: ['extract'] },
  },
});
