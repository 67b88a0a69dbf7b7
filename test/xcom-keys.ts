// How many keys a task pushes is its own choice, and its next try is told of all of them in one message: so there is a bound, and it is met when they are pushed.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Life } from './helpers/life.js';

const keys = suite('xcom-keys');

/** Its first try pushes until it is refused; both say how that went. */
const pushes = `import { xcom } from 'sallyport/task';
  const said = (pushed) => pushed.then(() => 'taken', ({ code, detail }) => code + ' ' + detail?.reason);
  const push = (n) => said(xcom.push('k' + n, n));
  export default async ({ ti }) => {
    if (ti.try_number === 1) {
      let pushed = 0;
      for (let refused = 0; refused === 0;) {
        const results = await Promise.all(Array.from({ length: 50 }, (_, i) => push(pushed + i)));
        pushed += results.filter((each) => each === 'taken').length;
        refused = results.filter((each) => each !== 'taken').length;
      }
      console.log(pushed, await push(2000), await push(7));
      await xcom.delete('k8');
      console.log(await push(2000), await push(2001));
      throw new Error('again');
    }
    console.log(await xcom.pull({ key: 'k7' }), await push(2001));
  };`;

keys('a task that pushes more than it may is refused that, and its next try begins, without what is left of it', async () => {
  await using world = await Life.start({ maxXComKeys: 120 });
  const lines: string[] = [];
  await using supervisor = world.supervisor({ onLog: ({ line, source }) => source === 'stdout' && lines.push(line) });
  const workload = await world.queued(world.file(pushes), { max_tries: 1 });
  const first = await supervisor.run(workload, { token: await world.token(workload.ti.id) });
  assert.equal([first.state, first.reason], ['up_for_retry', 'Error: again']);
  const { dag_id, run_id, task_id } = workload.ti;
  const { id } = await world.admin('POST', 'task-instances', { dag_id, run_id, task_id, try_number: 2, max_tries: 1, state: 'queued' });
  const second = await supervisor.run({ ...workload, ti: { ...workload.ti, id, try_number: 2 } }, { token: await world.token(id) });
  assert.equal([second.state, second.error], ['success', undefined]);
  assert.equal(lines, ['120 API_SERVER_ERROR xcoms_full taken', 'taken API_SERVER_ERROR xcoms_full', 'null taken']);
});

keys.run();
