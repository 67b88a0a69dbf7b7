// examples/bullmq, with a real Redis.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Redis as Client } from 'ioredis';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Redis, withoutRedis } from './helpers/redis.js';

const bullmq = suite('bullmq');
const test = withoutRedis === undefined ? bullmq : bullmq.skip;
if (withoutRedis !== undefined) console.log(`skipped: ${withoutRedis}`);

test("a queue's jobs are run, and it has no token of theirs", async () => {
  await using redis = await Redis.start();
  const client = new Client(redis.socket);
  const seen: string[] = [];
  const monitor = await client.monitor();
  monitor.on('monitor', (_time: string, words: string[]) => seen.push(words.join(' ')));
  const example = spawn(process.execPath, [fileURLToPath(new URL('../examples/bullmq/worker.mjs', import.meta.url))], { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, REDIS: redis.socket } });
  const [stdout, stderr, [code]] = await Promise.all([text(example.stdout), text(example.stderr), once(example, 'exit') as Promise<[number]>]);
  assert.is(code, 0, stderr);
  assert.equal(stdout.trimEnd().split('\n'), [
    '  Good night.',
    'greet: {"state":"success"}',
    '  Redis by TCP: EACCES, by its socket: EACCES',
    'curious: {"state":"success"}',
    'fails: {"state":"failed","reason":"Error: no rows today"}',
    'greet: not run: POST task-instances/{id}/token was answered 409 (invalid_state)',
  ]);
  const all = seen.join('\n');
  assert.match(all, /ExecuteTask/); // control: what the queue was told is there
  assert.not.match(all, /eyJ[\w-]+\.|sallyport-worker-/);
  monitor.disconnect();
  client.disconnect();
});

bullmq.run();
