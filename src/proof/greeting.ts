import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ApiProcess } from './api-process.js';
import { names, type Identity } from './scene.js';

export interface GreetingJob {
  readonly baseUrl: string;
  readonly ti: Identity & { readonly try_number: number };
}

/** What became of the well-behaved task, as the server has it. */
export interface Greeting {
  readonly succeeded: boolean;
  readonly state: string;
  readonly result: unknown;
}

/**
 * Runs src/proof/tasks/greet.ts under a supervisor in a process of its own.
 *
 * @throws `signal.reason`, when that process is gone.
 */
export async function runGreeting(api: ApiProcess, signal?: AbortSignal): Promise<Greeting> {
  signal?.throwIfAborted();
  const { ti, token } = await api.queue('greet');
  const job: GreetingJob = { baseUrl: api.baseUrl, ti: { ...ti, try_number: 1 } };
  const supervisor = spawn(process.execPath, [fileURLToPath(new URL('greeting-supervisor.js', import.meta.url)), JSON.stringify(job)], {
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', [names.token]: token },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  let output = '';
  supervisor.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  const end = (): unknown => supervisor.kill();
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted === true) end(); // while the task was queued
  const [code] = (await once(supervisor, 'close')) as [number | null];
  signal?.removeEventListener('abort', end);
  signal?.throwIfAborted();
  const state = code === 0 ? (JSON.parse(output) as { state: string }).state : 'no outcome';
  const result = await api.result(ti);
  return { succeeded: state === 'success' && typeof result === 'string', state, result };
}
