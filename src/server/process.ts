import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { UpstreamUnreachable } from '../errors.js';
import { Secret } from '../secrets/secret.js';
import type { ServerConfiguration } from './main.js';
import type { Seed } from './seed.js';
import type { Revocation } from './store/tokens.js';
import type { WorkerOptions } from './worker.js';

/** A server in a process of its own. */
export interface ServerProcess extends AsyncDisposable {
  readonly pid: number;
  /** The base URL for an `ExecutionApi`. */
  readonly url: string;
  seed(seed: Seed): Promise<void>;
  /** The token a scheduler would put into the task's workload. */
  issueWorkloadToken(taskInstanceId: string): Promise<Secret>;
  /** As of a {@link Server}; so are the next four. */
  addWorker(worker: WorkerOptions): Promise<Secret>;
  revokeWorker(name: string): Promise<number>;
  addTriggerer(triggerer: WorkerOptions): Promise<Secret>;
  revokeTriggerer(name: string): Promise<void>;
  revokeTokens(which: Revocation): Promise<number>;
  /** Ends it and waits until it is gone. Twice is fine. */
  close(): Promise<void>;
}

/**
 * Starts the server as a process of its own, which ends when this one does. With no
 * `signingKey` it makes one, and no other process ever has it.
 *
 * @throws What the server could not do, with its `code`; nothing is left running.
 */
export async function spawnServer(configuration: ServerConfiguration = {}): Promise<ServerProcess> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('main.js', import.meta.url))], { stdio: ['pipe', 'pipe', 'inherit'], env: {} });
  const gone = new Promise<unknown>((resolve) => child.once('close', resolve).once('error', resolve));
  child.stdin.on('error', () => {}); // the answer that does not come tells
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let turn: Promise<unknown> = Promise.resolve();

  // One at a time, for an answer belongs to the order before it.
  function tell(line: object): Promise<Record<string, unknown>> {
    const told = turn.then(async () => {
      child.stdin.write(`${JSON.stringify(line)}\n`);
      const { done, value } = await answers.next();
      if (done === true) throw new UpstreamUnreachable('the server process', 'it has ended');
      const answer = JSON.parse(value) as Record<string, unknown> & { error?: { code: string; message: string } };
      if (answer.error !== undefined) throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
      return answer;
    });
    turn = told.catch(() => {});
    return told;
  }

  async function close(): Promise<void> {
    child.stdin.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await gone;
    clearTimeout(timer);
  }

  try {
    const { url } = await tell(configuration);
    return {
      pid: child.pid as number,
      url: url as string,
      async seed(seed) {
        await tell({ seed });
      },
      async issueWorkloadToken(issueWorkloadToken) {
        const { token } = await tell({ issueWorkloadToken });
        return Secret.fromBytes(Buffer.from(token as string, 'latin1'));
      },
      async addWorker(addWorker) {
        const { credential } = await tell({ addWorker });
        return Secret.fromBytes(Buffer.from(credential as string, 'latin1'));
      },
      async revokeWorker(revokeWorker) {
        return (await tell({ revokeWorker }))['ended'] as number;
      },
      async addTriggerer(addTriggerer) {
        const { credential } = await tell({ addTriggerer });
        return Secret.fromBytes(Buffer.from(credential as string, 'latin1'));
      },
      async revokeTriggerer(revokeTriggerer) {
        await tell({ revokeTriggerer });
      },
      async revokeTokens(revokeTokens) {
        return (await tell({ revokeTokens }))['ended'] as number;
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
