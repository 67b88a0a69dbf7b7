import { setTimeout as sleep } from 'node:timers/promises';
import type { Duplex } from 'node:stream';
import { serve, type Audit, type Broker, type MethodTable, type ServeOptions } from '../broker/index.js';
import { BrokerClosed, SallyportError } from '../errors.js';
import type { Policy } from '../policy/policy.js';
import type { Masker } from '../secrets/masker.js';
import { drain, type LogLine } from '../supervisor/lines.js';
import { launch, type LaunchOptions } from '../task/launch.js';
import type { Task, TaskExit } from '../task/task.js';

export interface ChildOptions {
  /** The program of the child's side. */
  readonly main: string;
  readonly policy: Policy;
  /** Names it in log lines, and in audit records unless `task` does. */
  readonly name: string;
  readonly task?: NonNullable<ServeOptions['task']>;
  /** What it is started with. */
  readonly first: Readonly<Record<string, unknown>> & { readonly type: string };
  readonly methods: MethodTable;
  readonly audit: Audit | undefined;
  readonly masker: Masker | undefined;
  readonly onLog: ((line: LogLine) => void) | undefined;
  readonly signal: AbortSignal | undefined;
  readonly collect?: NonNullable<LaunchOptions['collect']>;
}

/** A locked process that runs a part of this package's child side over code of somebody's. */
export interface Child {
  readonly task: Task;
  /** Its end, when all that it said was read, or there was no more waiting for it. Never rejects. */
  readonly ended: Promise<TaskExit>;
  /** Kills it and waits for its end. */
  end(): Promise<TaskExit>;
}

/** How long what a child asked for last may take once it has ended. */
const lastRequestsMs = 5_000;

/** @throws As `launch()`. */
export async function startChild({ main, policy, name, task: asker = name, first, methods, audit, masker, onLog, signal, collect }: ChildOptions): Promise<Child> {
  const task = await launch([process.execPath, main], { policy, channel: true, logs: true, ...(signal && { signal }), ...(collect && { collect }) });
  // Read from the start: a child that waits for its output to be taken cannot read its first message.
  const drained = [drain(task.stdout, name, 'stdout', onLog, masker), drain(task.stderr, name, 'stderr', onLog, masker), drain(task.logs, name, 'log', onLog, masker)];
  const broker = serve(task.channel as Duplex, { task: asker, methods, ...(audit && { audit }), onViolation: (violation) => task.end(violation) });
  try {
    broker.send(0, first);
  } catch (error) {
    if (!(error instanceof BrokerClosed)) task.end(error as Error); // one that has ended already says so itself
  }
  const ended = afterwards(task, broker, drained);
  return {
    task,
    ended,
    end() {
      task.kill('SIGKILL');
      broker.close();
      return ended;
    },
  };
}

async function afterwards(task: Task, broker: Broker, drained: readonly Promise<void>[]): Promise<TaskExit> {
  const exit = await task.exited;
  const waiting = new AbortController();
  await Promise.race([broker.closed, sleep(lastRequestsMs, undefined, { signal: waiting.signal }).catch(() => {})]);
  waiting.abort();
  broker.close();
  await Promise.all([broker.closed, ...drained]);
  await task[Symbol.asyncDispose]();
  return exit;
}

/** An end that nobody asked for, in words for the one whose code it was. */
export function endedBy(exit: TaskExit): string {
  if (exit.kind === 'exited') return `the process exited with code ${exit.exitCode}`;
  if (exit.kind === 'signaled') return `the process was ended by ${exit.signal}`;
  return exit.violation instanceof SallyportError ? `${exit.violation.message} (${exit.violation.code})` : exit.violation.message;
}
