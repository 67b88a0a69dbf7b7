import { writeSync } from 'node:fs';
import { inspect } from 'node:util';
import { statOf } from './descriptor.js';
import { shared } from './shared.js';

const logFd = 3;
const stderrFd = 2;

let target: number | undefined;

/**
 * Looks before Node has opened anything else; the runner calls it first. Without a log channel, descriptor 3 is what Node opens first for
 * itself: an epoll instance, which is neither pipe nor socket.
 */
export function findLog(): void {
  if (target !== undefined) return;
  const found = statOf(logFd);
  target = found?.isFIFO() || found?.isSocket() ? logFd : stderrFd;
}

function write(level: string, event: string, fields: Readonly<Record<string, unknown>> | undefined): void {
  const line = { timestamp: new Date().toISOString(), level, event: String(event), logger: 'task' };
  let text: string;
  try {
    text = JSON.stringify({ ...shared.whose?.(), ...fields, ...line }, plain);
  } catch {
    text = JSON.stringify({ ...shared.whose?.(), fields: inspect(fields), ...line }); // a cycle, a toJSON that throws
  }
  if (shared.onLog !== undefined) return shared.onLog(text);
  findLog();
  writeAll(target ?? stderrFd, Buffer.from(`${text}\n`));
}

/** JSON has no form for these, and a log line must not fail for it. */
function plain(_key: string, value: unknown): unknown {
  if (value instanceof Error) return recordOf(value, []);
  return typeof value === 'bigint' ? String(value) : value;
}

/** An error's cause, that one's cause, and so on. */
const mostCauses = 5;

/** What JSON would leave out of an error; of causes no more than there is room for, each of them once. */
function recordOf(error: Error, above: readonly Error[]): object {
  const { name, message, stack, cause } = error;
  const { code } = error as NodeJS.ErrnoException; // may be its class's, which is no field of its own
  const path = [...above, error];
  const shown = !(cause instanceof Error) ? cause : path.includes(cause) ? '[circular]' : path.length > mostCauses ? String(cause) : recordOf(cause, path);
  return { ...error, name, message, code, stack, cause: shown };
}

/** Synchronous, so that the last line before a crash is not lost. */
function writeAll(fd: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length;) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      // EAGAIN: the supervisor is behind. Anything else: nobody reads, and a task does not fail for that.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    }
  }
}

type Write = (event: string, fields?: Readonly<Record<string, unknown>>) => void;

/** Structured lines in the task's log: `log.info('loaded', { rows: 3 })`. `console` goes to the same log as plain text. */
export const log: Readonly<Record<'debug' | 'info' | 'warning' | 'error' | 'critical', Write>> = Object.freeze({
  debug: (event, fields) => write('debug', event, fields),
  info: (event, fields) => write('info', event, fields),
  warning: (event, fields) => write('warning', event, fields),
  error: (event, fields) => write('error', event, fields),
  critical: (event, fields) => write('critical', event, fields),
});
