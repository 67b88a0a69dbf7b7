import { types, type InspectOptions } from 'node:util';
import { checkOptions, EnforcementPartial, invalidArgument, outOfRange, SecretDestroyed, SecretRefused } from '../errors.js';
import { getRlimit, lockedBytes } from '../kernel/rlimit.js';
import { native, type SecretHandle } from '../native.js';
import { withCredential } from './credential.js';
import { withInheritedDescriptor } from './descriptor.js';
import { handedOver, secretName } from './handover.js';
import { withSecretFile } from './secret-file.js';

/** More than any key or token needs, and little enough for the smallest RLIMIT_MEMLOCK to hold a few. */
const mostBytes = 65_536;
const patienceMs = 10_000;
const mostInt = 2_147_483_647;

/** What is read of a source that has an end. */
export interface SecretReadOptions {
  /** Keeps a newline at its end: for keys of arbitrary bytes, of which one in 256 ends so. @default false */
  readonly keepNewline?: boolean;
}

export interface SecretDescriptorOptions extends SecretReadOptions {
  /** How long a writer may take until it closes its end. @default 10000 */
  readonly timeoutMs?: number;
}

/**
 * Bytes that live in memory of their own: out of reach of other processes, core dumps, swap and fork copies, and wiped
 * when destroyed or forgotten. They are never a JavaScript string, and never printed.
 *
 * A page (4 KiB) of RLIMIT_MEMLOCK holds 64 secrets of up to 64 bytes, or fewer that are longer; one of more than a page has pages of its
 * own. With the last secret in it a page is given back. docs/secrets.md.
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
  static fromFile(path: string, options: SecretReadOptions = {}): Secret {
    if (typeof path !== 'string') throw invalidArgument('path', 'a string', path);
    if (!/^[^\0]+$/.test(path)) throw outOfRange('path', 'the path of a file');
    const { keepNewline } = readOptions(options);
    const source = `file "${path}"`;
    return made(source, () => withSecretFile(path, mostBytes, (fd) => Secret.#read(fd, keepNewline), { source }));
  }

  /**
   * Reads a credential that systemd passed to this service: `LoadCredential=`, `LoadCredentialEncrypted=` and `SetCredential=` in its unit, a file
   * in `$CREDENTIALS_DIRECTORY`. The rules of {@link fromFile} hold, except that root's file may be granted to this user alone by an access list, as
   * systemd does.
   *
   * @throws {SecretRefused} `ERR_SECRET_REFUSED`: not started with credentials, no such credential, or as for a file.
   * @see systemd.exec(5), "Credentials". systemd 247.
   */
  static fromCredential(name: string, options: SecretReadOptions = {}): Secret {
    if (typeof name !== 'string') throw invalidArgument('name', 'a string', name);
    if (!/^[^\0/]{1,255}$/.test(name) || name === '.' || name === '..') throw outOfRange('name', "a credential's name: a file's, without its folder");
    const { keepNewline } = readOptions(options);
    return made(`credential "${name}"`, () => withCredential(name, mostBytes, (fd) => Secret.#read(fd, keepNewline)));
  }

  /**
   * Reads an inherited descriptor to its end and closes it, also where it is refused: a pipe, a socket, or a file, which is best one without a
   * name (memfd_create(2)). Read at once and only once, no task ever inherits it, and nothing is left in /proc/<pid>/fd. It holds the event loop
   * until the writer closes its end.
   *
   * @param fd From 3: `node supervisor.js 3<token-file`, or 3 and up of `stdio` in `child_process.spawn`.
   * @throws {SecretRefused} `ERR_SECRET_REFUSED`: not open, a file that others can read, empty, longer than 64 KiB, or not at its end in
   *   `timeoutMs`. Anything but a file, pipe or socket is refused and left open: it may be Node's own.
   */
  static fromDescriptor(fd: number, options: SecretDescriptorOptions = {}): Secret {
    if (typeof fd !== 'number') throw invalidArgument('fd', 'a number', fd);
    if (!Number.isInteger(fd) || fd < 3 || fd > mostInt) throw outOfRange('fd', 'the number of an inherited descriptor, from 3: 0, 1 and 2 stay open (`3<&0` gives standard input another number)');
    const { keepNewline, timeoutMs } = readOptions(options, 'timeoutMs');
    const source = `descriptor ${fd}`;
    return made(source, () => withInheritedDescriptor(fd, source, () => Secret.#read(fd, keepNewline, timeoutMs)));
  }

  /**
   * Always refuses: a command that prints a secret to us prints it to any task of the same user, and its output, arguments and environment are
   * in reach of others while it runs. It is here to say so, to who looks for Airflow's `_CMD` options.
   *
   * @throws {SecretRefused} `ERR_SECRET_REFUSED`, with what to use instead.
   */
  static fromCommand(_command?: unknown): never {
    throw new SecretRefused(
      'a command',
      'whatever this user can run, a task of the same user can run too. Run it before the supervisor starts, and hand its output over: through a descriptor, ' +
        '`node supervisor.js 3< <(command)` and Secret.fromDescriptor(3), or as a credential of the service, Secret.fromCredential(name)',
    );
  }

  static #read(fd: number, keepNewline: boolean, timeoutMs = patienceMs): Secret {
    return new Secret(native().secretFromDescriptor(fd, mostBytes, timeoutMs, keepNewline));
  }

  /**
   * Takes a secret that `sallyport exec --secret NAME=SOURCE` handed to this process, once: what it came in is
   * overwritten and its descriptor closed.
   *
   * @throws {SecretRefused} `ERR_SECRET_REFUSED`: none of this name was handed over, or it was taken before.
   */
  static fromExec(name: string): Secret {
    if (typeof name !== 'string') throw invalidArgument('name', 'a string', name);
    if (!secretName.test(name)) throw outOfRange('name', 'a name that `sallyport exec --secret` takes');
    return made(`sallyport exec, "${name}"`, () => {
      const waiting = handedOver(name);
      const secret = new Secret(native().newSecret(waiting.byteLength));
      secret.use((bytes) => waiting.take(bytes.buffer as ArrayBuffer));
      return secret;
    });
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

function readOptions(options: SecretDescriptorOptions, ...more: 'timeoutMs'[]): { keepNewline: boolean; timeoutMs: number } {
  checkOptions('options', options, ['keepNewline', ...more]);
  const { keepNewline = false, timeoutMs = patienceMs } = options;
  if (typeof keepNewline !== 'boolean') throw invalidArgument('options.keepNewline', 'a boolean', keepNewline);
  if (typeof timeoutMs !== 'number') throw invalidArgument('options.timeoutMs', 'a number', timeoutMs);
  if (!Number.isInteger(timeoutMs) || timeoutMs < 0 || timeoutMs > mostInt) throw outOfRange('options.timeoutMs', 'a whole number of milliseconds');
  return { keepNewline, timeoutMs };
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
    if (code === 'ETIMEDOUT' && syscall === 'poll') throw new SecretRefused(source, 'its writer has not closed its end in time', { cause });
    if (syscall === 'read') throw new SecretRefused(source, `it cannot be read: ${code}`, { cause });
    if ((syscall === 'mmap' || syscall === 'mlock') && (code === 'EAGAIN' || code === 'ENOMEM' || code === 'EPERM')) throw new EnforcementPartial('secrets', memoryIsSpent(), { cause });
    throw cause;
  }
}

function memoryIsSpent(): string {
  const kib = (bytes: number): string => (bytes === Infinity ? 'unlimited' : `${bytes / 1024} KiB`);
  return (
    `no memory can be locked for one more: RLIMIT_MEMLOCK is ${kib(getRlimit('memlock').soft)}, of which this process has locked ${kib(lockedBytes())}. ` +
    "Destroy secrets that are not needed any more, or raise it: LimitMEMLOCK= in a service's unit, `ulimit -l`, `docker run --ulimit memlock=`"
  );
}
