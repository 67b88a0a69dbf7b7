import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { TaskStartFailed } from '../errors.js';
import type { Plan } from '../policy/plan.js';

export function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** What a script's first line names, execve(2); undefined: it is no script, or cannot be read. */
function interpreter(path: string): string | undefined {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const start = Buffer.alloc(256);
      const length = readSync(fd, start, 0, start.length, 0);
      return /^#![ \t]*([^ \t\n]*)/.exec(start.toString('utf8', 0, length))?.[1]?.replace(/[^\x20-\x7e]/g, '?');
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

function cannotExecute(program: string, { confined, identity }: Plan): string | undefined {
  const stats = statSync(program, { throwIfNoEntry: false });
  if (stats !== undefined && !stats.isFile()) return `${program} is ${stats.isDirectory() ? 'a directory' : 'not a regular file'}`;
  if (!executable(program)) return `${program} is not executable: chmod +x it, or launch its interpreter with it`;
  const who = identity === undefined ? '' : `, or uid ${identity.uid} may not execute it`;
  return confined ? `the policy does not grant what runs ${program}, its interpreter or loader${who}; policies.command() grants the system's` : undefined;
}

/** execve(2) has one errno for many reasons: says which one it is, and what to do. */
export function explained(error: unknown, program: string, plan: Plan): unknown {
  if (!(error instanceof TaskStartFailed)) return error;
  const { code, path } = error.cause as NodeJS.ErrnoException;
  const hint = error.step === 'execve' ? ofProgram(code, program, plan) : error.step === 'landlock' ? ofPath(code, path) : undefined;
  return hint === undefined ? error : new TaskStartFailed(error.step, `${hint} (${code ?? 'no errno'})`, { cause: error.cause });
}

function ofProgram(code: string | undefined, program: string, plan: Plan): string | undefined {
  const script = interpreter(program);
  switch (code) {
    case 'EACCES': return cannotExecute(program, plan);
    case 'ENOENT': return script === undefined ? undefined : `the interpreter of the script ${program}, "${script}", does not exist`;
    case 'ENOEXEC': return `${program} is neither a binary for this machine nor a script that begins with #! and an interpreter`;
    case 'E2BIG': return 'its arguments and environment are larger than the kernel takes: 128 KiB each, together a quarter of the stack limit; use stdin or a file';
    default: return undefined;
  }
}

function ofPath(code: string | undefined, path = 'a path of the policy'): string | undefined {
  switch (code) {
    case 'ELOOP': return `${path} leads through a symbolic link that was not there when the policy was first used; grants follow none`;
    case 'ENOENT':
    case 'ENOTDIR': return `${path}, which the policy grants, does not exist; make it before the launch, or take it out of read, write and execute`;
    case 'EACCES': return `${path}, which the policy grants, cannot be opened by the supervisor's own user`;
    default: return undefined;
  }
}
