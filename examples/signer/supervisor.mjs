// SIGNING_KEY=abc node examples/signer/supervisor.mjs
import { createHmac } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { harden, launch, method, policies, Secret, Type } from 'sallyport';

harden(); //                                    throws unless it holds: before a secret is loaded
const key = Secret.fromEnv('SIGNING_KEY'); //   leaves the environment, never becomes a string

const untrusted = fileURLToPath(new URL('untrusted.mjs', import.meta.url));
const task = await launch([process.execPath, untrusted], {
  policy: policies.node({ read: [untrusted], limits: { wallTimeMs: 30_000 } }),
  methods: {
    sign: method({
      params: Type.Object({ text: Type.String({ maxLength: 1000 }) }),
      handler: ({ text }) => key.use((bytes) => createHmac('sha256', bytes).update(text).digest('hex')),
    }),
  },
});
task.stdout?.pipe(process.stdout);
task.stderr?.pipe(process.stderr);
console.log(await task.exited);
