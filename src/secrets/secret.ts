import { types, type InspectOptions } from 'node:util';
import { EnforcementPartial, invalidArgument, outOfRange, SecretDestroyed, SecretRefused } from '../errors.js';
import { getRlimit } from '../kernel/rlimit.js';
import { native, type SecretHandle } from '../native.js';
import { withSecretFile } from './secret-file.js';

/** More than any key or token needs, and little enough for the smallest RLIMIT_MEMLOCK to hold a few. */
const mostBytes = 65_536;

/**
 * Bytes that live in memory of their own: out of reach of other processes, core dumps, swap and fork copies, and wiped
 * when destroyed or forgotten. They are never a JavaScript string, and never printed.
 *
 * Each secret takes at least one page (4 KiB) of RLIMIT_MEMLOCK.
 */
export class Secret {
  readonly #handle: SecretHandle;
  readonly byteLength: number;
  /**
   * `memfd_secret`: the kernel itself does not map the pages, so that root's /proc/<pid>/mem cannot read them.
   * `mlock`: ordinary pages, kept out of swap and dumps, where the kernel has no memfd_secret(2) (Linux 5.14).
   */
  readonly protection: 'memfd_secret' | 'mlock';

  private constructor(handle: SecretHandle) {
    const described = native().describeSecret(handle);
    if (described === undefined) throw new SecretDestroyed();
    this.#handle = handle;
    this.byteLength = described.byteLength;
    this.protection = described.protection;
  }

  /**
   * Moves the value of an environment variable into a secret. It is overwritten wherever the environment holds it,
   * duplicates included, and the variable is unset. Call it before anything reads `process.env`, for a JavaScript string
   * cannot be wiped, and before worker threads start, for each gets a copy of the environment.
   *
   * @throws {SecretRefused} `ERR_SECRET_REFUSED`: not set, empty, or longer than 64 KiB.
   */
  static fromEnv(name: string): Secret {
    if (typeof name !== 'string') throw invalidArgument('name', 'a string', name);
    if (!/^[^=\0]+$/.test(name)) throw outOfRange('name', 'the name of an environment variable');
    const source = `environment variable "${name}"`;
    return made(source, () => new Secret(native().secretFromEnvironment(name, mostBytes)));
  }

  /**
   * Reads a file into a secret, without a copy on any heap; one newline at its end is dropped. As ssh does with private
   * keys, it refuses a file that others can read, or replace: see {@link SecretRefused}.
   *
   * @throws {SecretRefused} `ERR_SECRET_REFUSED`: missing, not a regular file, a link, owned by another user than root or
   *   us, accessible to group or others, in a folder that others can change, empty, or larger than 64 KiB.
   */
  static fromFile(path: string): Secret {
    if (typeof path !== 'string') throw invalidArgument('path', 'a string', path);
    if (!/^[^\0]+$/.test(path)) throw outOfRange('path', 'the path of a file');
    return made(`file "${path}"`, () => withSecretFile(path, mostBytes, (fd, byteLength) => new Secret(native().secretFromDescriptor(fd, Math.min(byteLength, mostBytes)))));
  }

  /**
   * Copies bytes into a secret and fills the caller's with zeros. Copies that were made of them before are the caller's
   * own to wipe.
   *
   * @throws {SecretRefused} `ERR_SECRET_REFUSED`: empty, or longer than 64 KiB. The bytes are left as they are.
   */
  static fromBytes(bytes: Uint8Array): Secret {
    if (!types.isUint8Array(bytes)) throw invalidArgument('bytes', 'a Uint8Array', bytes);
    if (bytes.byteLength > mostBytes) throw new SecretRefused('bytes', `longer than ${mostBytes} bytes`);
    const secret = made('bytes', () => new Secret(native().newSecret(bytes.byteLength)));
    // The intrinsics: Buffer's own methods, and Node-API, would leave a copy of a small array on V8's heap.
    secret.use((held) => Uint8Array.prototype.set.call(held, bytes));
    Uint8Array.prototype.fill.call(bytes, 0);
    return secret;
  }

  /**
   * Lends the bytes to `fn`, without a copy. The view is good until `fn` returns or, when it returns a promise, until that
   * settles; then it is detached and has length 0. Copies that `fn` makes are its own to wipe.
   *
   * The kernel copies from this memory but pins none of it: a write to a file or pipe works, and puts the secret there;
   * O_DIRECT, vmsplice and io_uring fail with EFAULT.
   *
   * @throws {SecretDestroyed} `ERR_SECRET_DESTROYED`. A view that is open while the secret is destroyed reads as zeros.
   */
  use<T>(fn: (bytes: Uint8Array) => T): T {
    if (typeof fn !== 'function') throw invalidArgument('fn', 'a function', fn);
    const buffer = native().openSecret(this.#handle);
    if (buffer === undefined) throw new SecretDestroyed();
    const close = (): void => native().closeSecret(this.#handle, buffer);
    let result: T;
    try {
      result = fn(new Uint8Array(buffer));
    } catch (error) {
      close();
      throw error;
    }
    if (isThenable(result)) return Promise.resolve(result).finally(close) as T;
    close();
    return result;
  }

  /** Whether two secrets hold the same bytes, in a time that does not tell where they differ. */
  equals(other: Secret): boolean {
    if (!(other instanceof Secret)) throw invalidArgument('other', 'a Secret', other);
    if (native().describeSecret(this.#handle) === undefined || native().describeSecret(other.#handle) === undefined) throw new SecretDestroyed();
    return native().equalSecrets(this.#handle, other.#handle);
  }

  /** Wipes the bytes now. Nothing brings them back; twice is fine. */
  destroy(): void {
    native().destroySecret(this.#handle);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  toString(): string {
    return `Secret { byteLength: ${this.byteLength} }`;
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.for('nodejs.util.inspect.custom')](_depth: number, _options: InspectOptions): string {
    return this.toString();
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return ((typeof value === 'object' && value !== null) || typeof value === 'function') && typeof (value as { then?: unknown }).then === 'function';
}

/** Gives what the kernel or the addon refused its meaning. */
function made(source: string, make: () => Secret): Secret {
  try {
    return make();
  } catch (cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' && syscall === 'getenv') throw new SecretRefused(source, 'it is not set');
    if (code === 'ENODATA') throw new SecretRefused(source, 'it is empty');
    if (code === 'EFBIG') throw new SecretRefused(source, `it is longer than ${mostBytes} bytes`);
    if ((syscall === 'mmap' || syscall === 'mlock') && (code === 'EAGAIN' || code === 'ENOMEM' || code === 'EPERM')) {
      const kib = getRlimit('memlock').soft / 1024;
      throw new EnforcementPartial('secrets', `no memory can be locked for it: RLIMIT_MEMLOCK is ${kib} KiB, and each secret takes a page of it`, { cause });
    }
    throw cause;
  }
}
