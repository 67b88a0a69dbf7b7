// node examples/job-queue/worker.mjs
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { harden, launch, method, policies, Secret, Type } from 'sallyport';

harden();
const password = Secret.fromBytes(randomBytes(32)); // the queue's: no job ever needs it

// Jobs are files of other people, with an input each. A real queue would be a table.
const queue = [
  { id: 1, file: 'count-words.mjs', input: { text: 'to be or not to be' } },
  { id: 2, file: 'endless.mjs', input: {} },
  { id: 3, file: 'curious.mjs', input: { worker: process.pid } },
];
const done = [];

async function run({ id, file, input }) {
  const path = fileURLToPath(new URL(`jobs/${file}`, import.meta.url));
  const job = { id, file, results: [], output: '' };
  const task = await launch([process.execPath, path], {
    policy: policies.node({ read: [path], limits: { wallTimeMs: 3_000, memoryBytes: 512e6, processes: 64 } }),
    methods: {
      'job.input': method({ params: Type.Object({}), handler: () => input }),
      'job.result': method({ params: Type.Object({ value: Type.Unknown() }), handler: ({ value }) => void job.results.push(value) }),
    },
  });
  // From here on as with child_process.spawn().
  task.stdout.on('data', (chunk) => (job.output += chunk));
  task.stderr.pipe(process.stderr);
  const [code] = await once(task, 'close');
  const exit = await task.exited;
  done.push({ ...job, state: code === 0 ? 'done' : `failed: ${exit.violation?.message ?? code}` });
}

async function worker() {
  for (let job = queue.shift(); job !== undefined; job = queue.shift()) await run(job);
}

await Promise.all([worker(), worker()]); // two at a time
for (const { id, file, state, results, output } of done.sort((a, b) => a.id - b.id)) {
  console.log(`${id} ${file}: ${state}`, ...results.map((value) => JSON.stringify(value)));
  if (output !== '') console.log(output.trimEnd().replace(/^/gm, '  '));
}
password.destroy();
