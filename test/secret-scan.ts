import { execFile, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compile } from './helpers/compile.js';
import { Fixture } from './helpers/fixture.js';

const scan = suite('secret-scan');
const scanner = compile('scan');
const command = fileURLToPath(new URL('../lib/cli/main.js', import.meta.url));

const places = ['memory', 'environ', 'cmdline', 'descriptors', 'heap snapshot', 'report', 'core'] as const;
const hasGcore = ['gdb', 'gcore'].every((program) => spawnSync('which', [program], { stdio: 'ignore' }).status === 0);
if (!hasGcore) console.log('skipped: cores are not looked at without gcore (gdb)');
const looked = places.filter((place) => hasGcore || place !== 'core');

const sources = ['fromEnv', 'fromFile', 'fromCredential', 'fromDescriptor', 'fromExec', 'fromBytes'] as const;
const uses = ['process.env', 'ExecutionApi', 'node:crypto'] as const;

/** A find of scan.c; `name` is the canary's. */
interface Find {
  readonly place: string;
  readonly name: string;
  readonly where: string;
}

/** The canary in three parts, for memory that was freed begins with something else, and as it is often written. */
function needles(name: string, canary: string): string[] {
  const bytes = Buffer.from(canary);
  const parts = [0, 16, 32].map((at) => bytes.subarray(at, at + 16));
  const encoded = [0, 1, 2].map((at) => bytes.subarray(at, at + 24).toString('base64'));
  return [...parts, ...encoded, bytes.toString('hex').slice(0, 40), Buffer.from(canary.slice(0, 16), 'utf16le')].map((needle) => `${name} ${Buffer.from(needle).toString('hex')}`);
}

async function search(target: string, lookFor: readonly string[]): Promise<Find[]> {
  const stdout = await new Promise<string>((resolve, reject) => {
    const child = execFile(scanner, [target], { maxBuffer: 1 << 26 }, (error, text) => (error === null ? resolve(text) : reject(error)));
    child.stdin?.end(lookFor.join('\n'));
  });
  return [...stdout.matchAll(/^(\S+) (\S+) ?(.*)$/gm)].map(([, place = '', name = '', where = '']) => ({ place, name, where }));
}

/** A process that is held still while others search it, with a canary for each name and a control that is everywhere. */
class Scene {
  readonly folder = mkdtempSync(join(tmpdir(), 'sallyport-scan-'));
  readonly canaries: Readonly<Record<string, string>>;
  readonly #control = randomBytes(36).toString('base64url');
  readonly fixture: Fixture;

  constructor(mode: 'sources' | 'uses', { through = [], baseUrl = '' }: { through?: readonly string[]; baseUrl?: string } = {}) {
    this.canaries = Object.fromEntries((mode === 'sources' ? sources : uses).map((name) => [name, randomBytes(36).toString('base64url')]));
    for (const [name, canary] of Object.entries(this.canaries)) {
      if (name === 'fromBytes') writeFileSync(join(this.folder, `${name}.masked`), Buffer.from(canary).map((byte) => byte ^ 0xff));
      else if (!['fromEnv', 'process.env'].includes(name)) writeFileSync(join(this.folder, name), `${canary}\n`, { mode: 0o600 });
    }
    this.fixture = new Fixture('secret-scan.js', {
      args: [mode, this.folder, this.#control, baseUrl],
      env: { SALLYPORT_CONTROL: this.#control, CREDENTIALS_DIRECTORY: this.folder, SALLYPORT_CANARY: this.canaries['fromEnv'] ?? this.canaries['process.env'] ?? '' },
      through: [...through, ...(mode === 'sources' ? this.#handover() : [])],
      // undici's WebAssembly memory has 14 GiB of addresses reserved, which gcore would write out: here it gets what it uses.
      node: ['--disable-wasm-trap-handler', '--wasm-max-mem-pages=64'],
      timeoutMs: 240_000,
    });
  }

  /** Starts it with one secret in a descriptor from a shell, and one by `sallyport exec`. */
  #handover(): string[] {
    const shell = ['bash', '-c', 'exec "$@" 3<"$0"', join(this.folder, 'fromDescriptor')];
    return [...shell, process.execPath, command, 'exec', '--secret', `token=file:${join(this.folder, 'fromExec')}`, '--descriptor', '3', '--without', 'code', '--'];
  }

  /** Lets it go on to a stage, and finds what is where. The control must be found everywhere by the same search. */
  async look(stage: 'held' | 'destroyed'): Promise<Find[]> {
    const { pid } = this.fixture;
    const lookFor = [...Object.entries(this.canaries), ['control', this.#control] as const].flatMap(([name, canary]) => needles(name, canary));
    const found = await search(String(pid), lookFor);
    const file = join(this.folder, stage);
    if (hasGcore) await promisify(execFile)('gcore', ['-o', file, String(pid)], { maxBuffer: 1 << 26 });
    this.fixture.go();
    await this.fixture.next(); // snapshot and report are written
    for (const [place, path] of [['heap snapshot', `${file}.heapsnapshot`], ['report', `${file}.json`], ['core', `${file}.${pid}`]] as const) {
      if (!looked.includes(place)) continue;
      found.push(...(await search(path, lookFor)).map((find) => ({ ...find, place })));
      rmSync(path);
    }
    for (const place of looked) assert.ok(found.some((find) => find.place === place && find.name === 'control'), `control: ${place}, ${stage}`);
    const unread = found.filter(({ place }) => place === 'unreadable').map(({ name, where }) => `${name} ${where}`);
    assert.equal(unread.filter((mapping) => !/secretmem|\[vvar/.test(mapping)), [], 'all else was read');
    return found;
  }

  async end(): Promise<void> {
    await this.fixture.end();
    rmSync(this.folder, { recursive: true });
  }
}

/** What docs/secrets.md says of a row of its table is what was found. */
function agrees(row: string, name: string, found: readonly Find[]): void {
  const cells = (line: string): string[] => line.split('|').slice(1, -1).map((cell) => cell.trim());
  const page = readFileSync(fileURLToPath(new URL('../docs/secrets.md', import.meta.url)), 'utf8');
  const table = page.split('\n').filter((line) => line.startsWith('|')).map(cells);
  const head = table.find((line) => places.every((place) => line.includes(place))) ?? [];
  const [line, ...more] = table.filter(([first]) => first === row);
  assert.equal([line === undefined, more], [false, []], `docs/secrets.md has one row "${row}"`);
  const mine = found.filter((find) => find.name === name);
  const seen = looked.map((place) => (mine.some((find) => find.place === place) ? '**yes**' : 'no'));
  assert.equal(seen, looked.map((place) => line?.[head.indexOf(place)]), `${row}\n${mine.map(({ place, where }) => `${place}: ${where}`).join('\n')}`);
}

interface Facts {
  digests: Record<string, string>;
  protection: string;
}

async function life(through: readonly string[]) {
  const scene = new Scene('sources', { through });
  try {
    await scene.fixture.next();
    scene.fixture.go();
    const { digests, protection } = await scene.fixture.next<Facts>();
    for (const [name, canary] of Object.entries(scene.canaries)) assert.is(digests[name], createHash('sha256').update(canary).digest('hex'), name);
    const held = await scene.look('held');
    scene.fixture.go();
    await scene.fixture.next();
    return { protection, held, destroyed: await scene.look('destroyed') };
  } finally {
    await scene.end();
  }
}

scan('a secret of any source is nowhere, held or destroyed', async () => {
  const { protection, held, destroyed } = await life([]);
  assert.is(protection, 'memfd_secret');
  for (const source of sources) {
    agrees(`\`Secret.${source}\``, source, held);
    agrees(`\`Secret.${source}\`, destroyed`, source, destroyed);
  }
});

scan('without memfd_secret(2) it is in memory alone, once, until it is destroyed', async () => {
  const { protection, held, destroyed } = await life([compile('without-memfd-secret')]);
  assert.is(protection, 'mlock');
  for (const source of sources) {
    assert.is(held.filter(({ place, name }) => place === 'memory' && name === source).length, 3, `${source}: its three parts, once`);
    agrees('any of them, without memfd_secret(2)', source, held);
    agrees('any of them, without memfd_secret(2), destroyed', source, destroyed);
  }
});

scan('there are copies while it is in use, and of a string at all times', async () => {
  let arrived = (): void => {};
  const request = new Promise<void>((resolve) => (arrived = resolve));
  const server = createServer(() => arrived()); // and never answers
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const scene = new Scene('uses', { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` });
  try {
    await scene.fixture.next();
    scene.fixture.go();
    await scene.fixture.next();
    await request;
    const found = await scene.look('held');
    agrees('a string of `process.env`, as programs have it today', 'process.env', found);
    agrees('a token in a request of `ExecutionApi`', 'ExecutionApi', found);
    agrees('a key that `node:crypto` was given', 'node:crypto', found);
  } finally {
    await scene.end();
    server.closeAllConnections();
    server.close();
  }
});

scan.run();
