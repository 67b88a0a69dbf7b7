// Looks for what it was not given.
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'sallyport/task';

const { worker } = await request('job.input');
const attempts = {
  "the worker's memory": () => readFileSync(`/proc/${worker}/mem`),
  "the worker's environment": () => readFileSync(`/proc/${worker}/environ`),
  'killing the worker': () => process.kill(worker),
  "another job's file": () => readFileSync(new URL('count-words.mjs', import.meta.url)),
  'rewriting itself for the next run': () => writeFileSync(new URL(import.meta.url), ''),
};
for (const [what, attempt] of Object.entries(attempts)) {
  try {
    attempt();
    console.log(`${what}: succeeded`);
  } catch ({ code }) {
    console.log(`${what}: ${code}`);
  }
}
try {
  await request('queue.password');
} catch ({ code }) {
  console.log(`a method that is not there: ${code}`);
}
await request('job.result', { value: 'nothing found' });
