import { createHash } from 'node:crypto';
import { constants, watch, type FSWatcher } from 'node:fs';
import { link, mkdir, open, readdir, realpath, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SecretRefused } from '../errors.js';
import type { Declaration } from '../execution-api/grants.js';
import { keepFromTasks } from '../policy/grants.js';
import { changeableByOthers, walk } from '../secrets/safe-path.js';
import { readableByOthers } from '../secrets/secret-file.js';
import { harmless } from '../supervisor/logs/record.js';
import { end, hasEnded, ownName } from './owner.js';
import type { Claim, WorkQueue } from './queue.js';
import { recordOf } from './record.js';
import { isOfHost } from './trouble.js';

const mostBytes = 1 << 20;
/** The kernel's NAME_MAX less what is added to a name. */
const mostNameBytes = 200;
/** Events of the folder tell of new files at once, where the kernel gives them; else, and for what workers leave that were killed, somebody has to look. */
const lookEveryMs = 2_000;

/**
 * Workloads as files in a folder: whoever puts one there writes it under a name that begins with a dot and renames it to `NAME.json`.
 *
 * - `NAME.json` waits; the names' order is the order in which they run.
 * - `claimed/WORKER/` has what a worker runs: a rename(2) takes it there, so that it is one worker's alone.
 * - `done/NAME.json` has what became of it, `bad/NAME.json` what nobody can run, with the reason in `bad/NAME.reason.json`.
 *
 * Killed at any moment, a worker leaves each file in one of these places; what it had claimed is claimed again by the next one on this host. Whether
 * it had begun by then is known to the server, which lets it run once. Any number of queues may share a folder, also of one process.
 */
export class FolderQueue implements WorkQueue {
  /**
   * Makes what is missing below the folder. From here on no task of this process may be granted the folder: workloads have tokens in them.
   *
   * @throws {SecretRefused} `ERR_SECRET_REFUSED`: others may read the folder, or change what leads to it.
   * @throws System error: it is no folder, or may not be written.
   */
  static async open(path: string): Promise<FolderQueue> {
    const root = await realpath(path);
    const refused = readableByOthers(await stat(root))?.replace('chmod 600', 'chmod 700');
    const changeable = walk(root).map((step) => ({ path: step.path, problem: changeableByOthers(step) })).find(({ problem }) => problem !== undefined);
    const problem = refused ?? (changeable && `${changeable.path} ${changeable.problem}`);
    if (problem !== undefined) throw new SecretRefused(`folder "${path}"`, `workloads hold tokens, and ${problem}`);
    keepFromTasks(root, 'workloads with their tokens');
    const name = ownName();
    for (const folder of ['claimed', join('claimed', name), 'done', 'bad']) await mkdir(join(root, folder), { recursive: true, mode: 0o700 });
    return new FolderQueue(root, name);
  }

  /** Among all workers. */
  readonly name: string;
  readonly #root: string;
  readonly #watcher: FSWatcher | undefined;
  #changed = true;
  #wake: () => void = () => {};
  /** Names that waited when somebody last looked. */
  #names: string[] = [];
  #count = 0;

  private constructor(root: string, name: string) {
    this.#root = root;
    this.name = name;
    try {
      this.#watcher = watch(root, { persistent: false }, (_event, file) => {
        if (file !== null && !isName(file)) return;
        this.#changed = true;
        this.#wake();
      });
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch {
      // No more watches for this user: it is looked at now and then.
    }
  }

  async claim(count: number): Promise<readonly Claim[]> {
    const claims: Claim[] = [];
    try {
      await this.#reclaim(claims, count);
      await this.#claimNew(claims, count);
    } catch (error) {
      if (claims.length === 0) throw error; // else they are somebody's to run, and the rest is tried again
    }
    return claims;
  }

  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, this.#changed || signal.aborted ? 0 : lookEveryMs);
      signal.addEventListener('abort', done, { once: true });
      this.#wake = done;
    });
  }

  /** What is claimed should have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#watcher?.close();
    end(this.name);
    await rmdir(join(this.#root, 'claimed', this.name)).catch(() => {}); // what is in it is claimed again by another worker
  }

  /** Undefined where it is not there: another worker was faster. */
  async #take(from: string, given: string, again: boolean): Promise<(Claim & { forget(): Promise<void> }) | undefined> {
    const name = short(given);
    const place = this.#placeFor(name);
    if (!(await moved(from, place))) return undefined;
    try {
      const claim = await this.#claimed(name, place, again);
      return name === given ? claim : { ...claim, problem: `its name is longer than ${mostNameBytes} bytes` };
    } catch (error) {
      await this.#putBack(name, place);
      throw error;
    }
  }

  #placeFor(name: string): string {
    return join(this.#root, 'claimed', this.name, `${++this.#count}-${name}`);
  }

  async #claimNew(claims: Claim[], count: number): Promise<void> {
    if (this.#names.length === 0) {
      this.#changed = false;
      const entries = await readdir(this.#root);
      this.#names = entries.filter(isName).sort().reverse(); // the next one is the last
    }
    while (claims.length < count) {
      const name = this.#names.pop();
      if (name === undefined) break;
      const claim = await this.#take(join(this.#root, name), name, false);
      if (claim !== undefined) claims.push(claim);
    }
  }

  /** Of workers on this host that were killed. */
  async #reclaim(claims: Claim[], count: number): Promise<void> {
    const claimed = join(this.#root, 'claimed');
    for (const owner of (await readdir(claimed)).filter((each) => each !== this.name && hasEnded(each))) {
      const files = await readdir(join(claimed, owner)).catch(() => []);
      for (const file of files.slice(0, count - claims.length)) {
        const claim = await this.#take(join(claimed, owner, file), file.replace(/^\d+-/, ''), true);
        if (claim === undefined) continue;
        if (await this.#isDone(claim.name, owner, claim.workload)) await claim.forget();
        else claims.push(claim);
      }
      await this.#forget(owner).catch(() => {}); // there is more in it, or another worker was faster
    }
  }

  async #forget(owner: string): Promise<void> {
    for (const folder of ['done', 'bad']) {
      const halves = (await readdir(join(this.#root, folder))).filter((name) => name.startsWith(`.${owner}~`));
      await Promise.all(halves.map((name) => unlink(join(this.#root, folder, name))));
    }
    await rmdir(join(this.#root, 'claimed', owner));
  }

  /** Whether that worker had written what became of it, and was killed before it could remove the claim. */
  async #isDone(name: string, owner: string, workload: unknown): Promise<boolean> {
    const done = await readJson(join(this.#root, 'done', name));
    const { worker, ti } = (done.value ?? {}) as { worker?: unknown; ti?: { id?: unknown } };
    const id = (workload as { ti?: { id?: unknown } } | undefined)?.ti?.id;
    return worker === owner && typeof id === 'string' && ti?.id === id;
  }

  async #claimed(name: string, place: string, again: boolean): Promise<Claim & { forget(): Promise<void> }> {
    const { value, problem } = await readJson(place);
    const declares = typeof value === 'object' && value !== null && 'declares' in value && value.declares !== null ? { declares: value.declares as Declaration } : {};
    return {
      name,
      workload: value,
      ...declares,
      ...(problem !== undefined && { problem }),
      settle: async (result) => {
        await this.#write('done', name, recordOf(this.name, value, result));
        await unlink(place).catch(unlessMissing);
      },
      refuse: async (reason) => {
        const before = again ? 'a worker that was killed had claimed it before and may have run it; ' : '';
        await this.#write('bad', name.replace(/\.json$/, '.reason.json'), { reason: before + reason, worker: this.name, at: new Date().toISOString() });
        await rename(place, join(this.#root, 'bad', name));
      },
      release: () => this.#putBack(name, place),
      forget: () => unlink(place),
    };
  }

  /** Under its name, or one like it where that was given again meanwhile. */
  async #putBack(name: string, place: string): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await link(place, join(this.#root, attempt === 0 ? name : name.replace(/\.json$/, `.${attempt}.json`)));
        return await unlink(place);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt === 1000) throw error;
      }
    }
  }

  /** Whole or not at all, and there after a power cut. */
  async #write(folder: 'done' | 'bad', name: string, record: object): Promise<void> {
    const target = join(this.#root, folder, name);
    const half = join(this.#root, folder, `.${this.name}~${++this.#count}`);
    const file = await open(half, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      await file.writeFile(`${harmless(JSON.stringify(record))}\n`);
      await file.sync();
      await rename(half, target);
    } catch (error) {
      await unlink(half).catch(() => {}); // it takes room, and will be written again
      throw error;
    } finally {
      await file.close();
    }
    const directory = await open(join(this.#root, folder), constants.O_RDONLY | constants.O_DIRECTORY);
    await directory.sync().finally(() => directory.close());
  }
}

const isName = (name: string): boolean => !name.startsWith('.') && name.endsWith('.json') && basename(name) === name;

function unlessMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

/** Where a file must be put under other, longer names. */
function short(name: string): string {
  if (Buffer.byteLength(name) <= mostNameBytes) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 16);
  let kept = name;
  while (Buffer.byteLength(kept) > mostNameBytes - 32) kept = kept.slice(0, -1);
  return `${kept}~${hash}.json`;
}

/** False where it is not there: another worker was faster. */
async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** What a file has, or why it is none that can be read. Somebody else's mistake may be a FIFO, a link, a gigabyte. @throws Where the host is in trouble. */
async function readJson(path: string): Promise<{ readonly value?: unknown; readonly problem?: string }> {
  let file;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isOfHost(error)) throw error;
    const { code } = error as NodeJS.ErrnoException;
    return { problem: code === 'ELOOP' ? 'it is a symbolic link' : `it cannot be opened: ${code}` };
  }
  try {
    const stats = await file.stat();
    if (!stats.isFile()) return { problem: 'it is not a regular file' };
    if (stats.size > mostBytes) return { problem: `it is larger than ${mostBytes} bytes` };
    return { value: JSON.parse(await file.readFile('utf8')) as unknown };
  } catch (error) {
    if (isOfHost(error)) throw error;
    return { problem: error instanceof SyntaxError ? 'it is not JSON' : `it cannot be read: ${(error as NodeJS.ErrnoException).code}` };
  } finally {
    await file.close();
  }
}
