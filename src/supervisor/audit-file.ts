import { closeSync, constants, fstatSync, lstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Audit } from '../broker/index.js';
import { checkOptions, invalidArgument, LogRefused, outOfRange } from '../errors.js';
import { keepFromTasks } from '../policy/grants.js';
import { changeableByOthers, walk } from '../secrets/safe-path.js';

export interface AuditFileOptions {
  /** How large the file may become, at least 4096; then it is renamed to `.1`, and another one begun. @default 64 MiB */
  readonly maxBytes?: number;
  /** How many files are kept, at least 2. @default 8 */
  readonly maxFiles?: number;
}

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;

/**
 * Every request of every task as a line of JSON in a file of mode 0600: `new Supervisor({ audit: file.record })`. A record is with
 * the kernel before its request is answered; one that cannot be written lets its request fail. It outlives this process, and
 * not the host's loss of power.
 */
export class AuditFile implements Disposable {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #last: number;
  #fd: number;
  #size: number;
  #torn = false;

  /**
   * @throws {LogRefused} `ERR_LOG_REFUSED`: something else is there, or another user could change the path. TypeError
   *   `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`; system errors of open(2).
   */
  constructor(path: string, options: AuditFileOptions = {}) {
    if (typeof path !== 'string' || path === '') throw invalidArgument('path', 'the path of a file', path);
    checkOptions('options', options, ['maxBytes', 'maxFiles']);
    const { maxBytes = 64 << 20, maxFiles = 8 } = options;
    if (!Number.isSafeInteger(maxBytes) || maxBytes < 4096) throw outOfRange('options.maxBytes', 'a whole number of at least 4096');
    if (!Number.isSafeInteger(maxFiles) || maxFiles < 2 || maxFiles > 1000) throw outOfRange('options.maxFiles', 'a whole number from 2 to 1000');
    this.#path = resolve(path);
    this.#maxBytes = maxBytes;
    this.#last = maxFiles - 1;
    for (const step of walk(dirname(this.#path))) {
      const problem = changeableByOthers(step);
      if (problem !== undefined) throw new LogRefused(step.path, problem);
    }
    [this.#fd, this.#size] = open(this.#path);
    for (let number = 0; number <= this.#last; number++) keepFromTasks(numbered(this.#path, number), 'the audit of tasks');
  }

  /** Writes one record. @throws System errors of write(2): it is not kept, or not whole. */
  readonly record: Audit = (record) => {
    if (this.#fd < 0) throw Object.assign(new Error(`EBADF: ${this.#path} was closed`), { code: 'EBADF', syscall: 'write', path: this.#path });
    const line = Buffer.from(`${this.#torn ? '\n' : ''}${JSON.stringify(record)}\n`);
    if (this.#size > 0 && this.#size + line.length > this.#maxBytes) this.#rotate();
    const written = writeSync(this.#fd, line);
    this.#size += written;
    this.#torn = written < line.length;
    if (this.#torn) throw Object.assign(new Error(`ENOSPC: ${this.#path} took a part of a record`), { code: 'ENOSPC', syscall: 'write', path: this.#path });
  };

  /** Later records fail, and with them what they are of. Twice is fine. */
  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #rotate(): void {
    // Where it is not there, an earlier rotation could not open a new one, and moving the others again would lose the oldest each time.
    for (let number = lstatSync(this.#path, { throwIfNoEntry: false }) === undefined ? 0 : this.#last; number > 0; number--) {
      try {
        renameSync(numbered(this.#path, number - 1), numbered(this.#path, number));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
    const [fd, size] = open(this.#path);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#size = size;
    this.#torn = false;
  }
}

const numbered = (path: string, number: number): string => (number === 0 ? path : `${path}.${number}`);

function open(path: string): [fd: number, size: number] {
  let fd: number;
  try {
    fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === 'ELOOP' || code === 'ENXIO' || code === 'EISDIR' ? new LogRefused(path, 'is a link, a folder or a FIFO', { cause: error }) : error;
  }
  const stats = fstatSync(fd);
  if (stats.isFile() && stats.nlink === 1 && stats.uid === process.geteuid?.() && (stats.mode & 0o077) === 0) return [fd, stats.size];
  closeSync(fd);
  throw new LogRefused(path, 'is not a file of this user alone, of mode 0600, with one name');
}
