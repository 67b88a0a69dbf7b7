// What stands between a task and the terminal or pipe that our own descriptors are: a task is never handed one of them.

import { constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Task } from '../task/task.js';

/**
 * A pipe through a description of its own, for libuv makes descriptors non-blocking, and that flag stays with whatever
 * else of the shell's has the same pipe open. Undefined for anything but a pipe, and where it may not be opened anew.
 */
function ownPipe(fd: number, access: number): Socket | undefined {
  try {
    if (!fstatSync(fd).isFIFO()) return undefined;
    const own = openSync(`/proc/self/fd/${fd}`, access | constants.O_NONBLOCK);
    return new Socket({ fd: own, readable: access === constants.O_RDONLY, writable: access === constants.O_WRONLY });
  } catch {
    return undefined;
  }
}

/** Our side of descriptors 0 to 2. Open them before the process is hardened: /proc/self/fd is closed to it afterwards. */
export class Ends {
  readonly stdin: Readable = ownPipe(0, constants.O_RDONLY) ?? process.stdin;
  readonly stdout: Writable = ownPipe(1, constants.O_WRONLY) ?? process.stdout;
  readonly stderr: Writable = ownPipe(2, constants.O_WRONLY) ?? process.stderr;

  constructor() {
    // Whoever read them has gone. The task learns it from its own pipe.
    for (const stream of [this.stdout, this.stderr, process.stderr]) stream.on('error', () => {});
  }
}

/**
 * Copies both ways, each at the pace of whoever reads. A reader that goes, as `head` does, closes the task's pipe, and
 * the task gets SIGPIPE as it would in our place.
 *
 * @returns Resolves when all that the task wrote has been handed on, or nobody takes it.
 */
export async function relay(task: Task, ends: Ends): Promise<void> {
  copyInput(task, ends.stdin);
  const output = async (from: Readable | null, to: Writable): Promise<void> => {
    if (from === null) return;
    await pipeline(from, to, { end: false }).catch(() => {});
    await new Promise((resolve) => to.write('', resolve)); // and all that was buffered
  };
  await Promise.all([output(task.stdout, ends.stdout), output(task.stderr, ends.stderr)]);
}

function copyInput({ stdin }: Task, from: Readable): void {
  if (stdin === null) return;
  from.on('error', () => stdin.end());
  stdin.on('close', () => from.destroy()); // it takes no more
  const terminal = (from as { isTTY?: boolean }).isTTY === true;
  const copy = (): void => {
    if (terminal && !inForeground()) from.unpipe(stdin).pause();
    else from.pipe(stdin);
  };
  copy();
  // After `fg` the terminal is ours; in the background reading it would stop us, though the task may never ask for it.
  if (terminal) process.on('SIGCONT', copy);
}

/** proc_pid_stat(5): pgrp and tpgid. */
function inForeground(): boolean {
  try {
    const fields = readFileSync('/proc/self/stat', 'latin1').replace(/^.*\) /s, '').split(' ');
    return fields[2] === fields[5];
  } catch {
    return true;
  }
}

/** What reaches a process from outside and is meant for the program that it stands for. */
const forwarded = ['SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM'] as const;
/** And what a terminal sends to all processes in its foreground. The task has a session of its own, where it does not reach. */
const ofTerminal = ['SIGINT', 'SIGQUIT', 'SIGHUP'] as const;

/**
 * Hands signals on to the task, from now on: those that come before it runs wait for it, those that come after its end
 * are ours.
 */
export function forwardSignals(launched: Promise<Task>): void {
  for (const signal of [...forwarded, ...ofTerminal]) {
    const group = (ofTerminal as readonly string[]).includes(signal);
    process.on(signal, () => void launched.then((task) => task.kill(signal, { group }) || dieBy(signal), () => {}));
  }
  // Ctrl-Z, and its end
  process.on('SIGTSTP', () => {
    void launched.then((task) => {
      task.kill('SIGSTOP', { group: true });
      process.kill(process.pid, 'SIGSTOP');
    });
  });
  process.on('SIGCONT', () => void launched.then((task) => task.kill('SIGCONT', { group: true })));
}

/** As the program did, so that a shell sees a signal and not a number. Returns where the signal does not end a process. */
export function dieBy(signal: NodeJS.Signals): void {
  if (signal !== 'SIGKILL' && signal !== 'SIGSTOP') {
    // The last listener's removal brings back the kernel's default, for signals too that Node itself has taken.
    process.once(signal, () => {}).removeAllListeners(signal);
  }
  process.kill(process.pid, signal);
}
