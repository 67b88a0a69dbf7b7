import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const src = fileURLToPath(new URL('../src', import.meta.url));
const layers = suite('layers');

/** From the ground up; a folder imports from itself and from what stands before it. docs/architecture.md */
const order = ['guarantees', 'errors', 'definition', 'native', 'kernel', 'secrets', 'config', 'policy', 'authorization', 'harden', 'tokens', 'broker', 'task', 'execution-api', 'supervisor', 'worker', 'server', 'index', 'proof', 'hosts', 'cli'];
/** What runs inside the task: it may know the frame codec, and for a test which values are hidden, and nothing of the trusted side. */
const sdkMayImport = ['sdk', 'definition', 'broker/frame', 'broker/unpack', 'secrets/masking/rule', 'errors', 'guarantees'];
/** The entry of `--import`, which anything may stand below. `index` is the public surface: what proves it uses it as a user would. */
const roofs = ['register'];

function files(folder = ''): string[] {
  return readdirSync(join(src, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? files(path) : entry.name.endsWith('.ts') ? [path] : [];
  });
}

/** Every relative import of a file, without its ending, from src. Types count as well: they tie files together. */
function imports(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) => normalize(join(dirname(file), match[1] ?? '')).replace(/\.js$/, ''));
}

const room = (path: string): string => path.replace(/\.ts$/, '').split('/')[0] ?? '';

layers('every folder of src has its place', () => {
  const rooms = new Set(files().map(room));
  assert.equal([...rooms].filter((name) => ![...order, ...roofs, 'sdk'].includes(name)), []);
});

layers('imports go down, never back', () => {
  const broken = files().flatMap((file) => {
    const from = order.indexOf(room(file));
    if (from < 0) return [];
    return imports(file).filter((target) => order.indexOf(room(target)) > from || roofs.includes(room(target)) || room(target) === 'sdk').map((target) => `${file} -> ${target}`);
  });
  assert.equal(broken, []);
});

layers('no path leads from src/sdk to secrets, tokens, the Execution API or the kernel', () => {
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const target of imports(file)) visit(`${target}.ts`);
  };
  files('sdk').forEach(visit);
  const allowed = (file: string): boolean => sdkMayImport.some((place) => file === `${place}.ts` || file.startsWith(`${place}/`));
  assert.equal([...seen].filter((file) => !allowed(file)), []);
});

layers('one file loads the addon', () => {
  assert.equal(files().filter((file) => /node-gyp-build/.test(readFileSync(join(src, file), 'utf8'))), ['native.ts']);
});

layers.run();
