import { constants } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { EnforcementPartial, KernelUnsupported, SallyportError, TaskLimitExceeded, TaskStartFailed, TaskTimeout } from '../errors.js';
import { debuggerClosed } from '../harden/debugger.js';
import { environ } from '../harden/environ.js';
import { memory } from '../harden/memory.js';
import { look } from '../harden/report.js';
import { launch } from '../task/launch.js';
import type { Task, TaskExit } from '../task/task.js';
import { commandLine, usageError } from './command-line.js';
import { notGranted, policyHelp, policyOptions, request, split, type Request } from './policy-options.js';
import { columnsOf } from './table.js';
import { traceReport } from './trace-report.js';
import { dieBy, Ends, forwardSignals, relay } from './relay.js';

const usage = `usage: sallyport run [options] [--] COMMAND [ARGUMENT ...]

Runs a program locked in by a policy. It may read and execute the system's
programs and libraries, and what you grant; nothing else: no other file, no
network, no variable of your environment. A script given to node or python, and
the program itself, are granted by naming them.

${policyHelp}
  --trace                say at the end what was refused, and what would grant
                         it; slower

  sallyport run node job.js
  sallyport run --read . --write out --limit wallTimeMs=30s -- node build.js
  sallyport run --read data.csv --env TZ=UTC -- python3 sum.py data.csv
  curl -s https://example.org/install.sh | sallyport run --preset command sh

Standard input, output and error are copied, never handed over: the task has no
terminal. Signals go on to the task. Exit code: the task's own, and its signal;
or 124 when it was ended for a limit, 125 when it was not started, 126 when its
program cannot be executed, 127 when there is no such program.
`;

const options = { ...policyOptions, trace: { type: 'boolean', default: false } } as const;

const LIMIT = 124;
const NOT_STARTED = 125;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

export async function run(args: string[]): Promise<number> {
  let program: string | undefined;
  try {
    const { ours, command } = split(args, options);
    const given = commandLine(ours, usage, options);
    if (given === undefined) return 0;
    const { values } = given;
    if (command.length === 0) throw usageError('which command? sallyport run [options] -- COMMAND [ARGUMENT ...]');
    const asked = request(values, command);
    program = asked.argv[0];
    return await supervise(asked, values.trace);
  } catch (error) {
    say(reason(error));
    return exitCodeFor(error, program);
  }
}

async function supervise({ policy, argv }: Request, trace: boolean): Promise<number> {
  const ends = new Ends();
  hardenWhatIsCheap();
  const launched = launch(argv, { policy, stdin: 'pipe', trace });
  forwardSignals(launched);
  const task = await launched;
  const copied = relay(task, ends);
  const exit = await task.exited;
  // All of it, however slow the reader is: the program itself would have waited. One that was ended would not.
  await (exit.kind === 'ended' ? Promise.race([copied, setTimeout(500)]) : copied);
  if (trace) say(traceReport(task.refused, columnsOf(process.stderr)));
  return finish(task, exit, argv);
}

/**
 * It holds no secret of its own, but the shell's environment may: other programs of this user do not read it here.
 * The task could not in any case.
 */
function hardenWhatIsCheap(): void {
  look('environ', (row) => environ(row, { wipeArguments: false }));
  look('debugger', (row) => debuggerClosed(row, { required: false }));
  look('memory', memory);
}

function finish(task: Task, exit: TaskExit, argv: readonly string[]): number {
  if (exit.kind === 'signaled') {
    if (exit.signal === 'SIGSYS') say('the task made a system call of another architecture (i386 or x32), which nothing grants');
    dieBy(exit.signal);
    process.exit(128 + constants.signals[exit.signal]);
  }
  if (exit.kind === 'ended') say(reason(exit.violation));
  else if (exit.exitCode !== 0) hint(task, argv);
  // Not by running out of work: what is left of standard input would keep us.
  process.exit(exit.kind === 'ended' ? LIMIT : exit.exitCode);
}

/** The likeliest reason why a program that works elsewhere does not here. */
function hint(task: Task, argv: readonly string[]): void {
  const files = task.plan.confined ? notGranted(argv, task.plan.landlock.rules.map(({ path }) => path)) : [];
  if (files.length > 0) say(`the task may not read what its command names; to grant it: ${files.slice(0, 3).map((file) => `--read ${file}`).join(' ')}`);
}

function say(text: string): void {
  process.stderr.write(`sallyport run: ${text}\n`);
}

function reason(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  const advice = adviceFor(error);
  return `${message}${error instanceof SallyportError ? ` (${code})` : ''}${advice === '' ? '' : `; ${advice}`}`;
}

function adviceFor(error: unknown): string {
  if (error instanceof TaskTimeout || error instanceof TaskLimitExceeded) return `--limit ${error.limit}=... gives it more`;
  if (error instanceof EnforcementPartial) return `see \`sallyport doctor\`, or do without it: --without ${error.guarantee}`;
  if (error instanceof TaskStartFailed && error.step === 'landlock') return 'the policy or the command names it';
  if (error instanceof KernelUnsupported) return 'see `sallyport doctor`';
  return '';
}

function exitCodeFor(error: unknown, program: string | undefined): number {
  if (!(error instanceof TaskStartFailed)) return NOT_STARTED;
  const { code, path } = (error.cause ?? { code: 'ENOENT', path: program }) as NodeJS.ErrnoException;
  if (error.step === 'execve') return code === 'ENOENT' ? NOT_FOUND : NOT_EXECUTABLE;
  return error.step === 'landlock' && code === 'ENOENT' && path === program ? NOT_FOUND : NOT_STARTED;
}
