import { closeSync, openSync, writeSync } from 'node:fs';
import type { Masker } from '../secrets/masker.js';

/**
 * Objects as JSON lines at the end of a file, which is made with mode 0600, or on standard output for `-`. What has the shape of
 * a token or of a worker's credential is hidden, wherever a client put it, and so is what the masker knows. A line is written when `write` returns:
 * what throws has not been logged.
 */
export class LineLog {
  readonly #path: string;
  readonly #masker: Masker;
  #fd: number;

  constructor(path: string, masker: Masker) {
    this.#path = path;
    this.#masker = masker;
    this.#fd = open(path);
  }

  write(record: object): void {
    const line = `${this.#masker.redact(JSON.stringify(record)).replaceAll(workerCredential, '$1***')}\n`;
    const bytes = Buffer.from(line);
    // Standard output too: a stream would take the line, and say later that its reader is gone.
    if (writeSync(this.#fd, bytes) < bytes.length) throw Object.assign(new Error(`${this.#path} took a part of a line`), { code: 'ENOSPC' });
  }

  /** For who has renamed the file, as logrotate does. @throws System error: it goes on into the one before. */
  reopen(): void {
    const fd = open(this.#path);
    this.close();
    this.#fd = fd;
  }

  close(): void {
    if (this.#fd > 1) closeSync(this.#fd);
    this.#fd = -1;
  }
}

/** Other workers' too, which no process knows. */
const workerCredential = /(sallyport-(?:worker|triggerer)-)[\w-]{20,}/g;

const open = (path: string): number => (path === '-' ? 1 : openSync(path, 'a', 0o600));
