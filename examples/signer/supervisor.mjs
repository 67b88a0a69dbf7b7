import { createHmac } from 'node:crypto';
import { harden, launch, method, policies, Secret, Type } from 'sallyport';

harden(); //                                    throws unless it holds: before a secret is loaded
const key = Secret.fromEnv('SIGNING_KEY'); //   leaves the environment, never becomes a string

const task = await launch([process.execPath, 'untrusted.mjs'], {
  policy: policies.node({ read: ['untrusted.mjs', 'node_modules'], cwd: '.', limits: { wallTimeMs: 30_000 } }),
  methods: {
    sign: method({
      params: Type.Object({ text: Type.String({ maxLength: 1000 }) }),
      handler: ({ text }) => key.use((bytes) => createHmac('sha256', bytes).update(text).digest('hex')),
    }),
  },
});
task.stdout.pipe(process.stdout);
task.stderr.pipe(process.stderr);
console.log(await task.exited);
