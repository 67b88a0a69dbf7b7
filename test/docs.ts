import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { guaranteeNames } from '../lib/index.js';
import { absent, fileModes, refused } from '../lib/policy/seccomp-profile.js';
import { examined } from '../lib/policy/seccomp-arguments.js';
import { catalogue } from '../lib/proof/catalogue.js';

const docs = suite('docs');
const root = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const pages = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];

const codes = (text: string): string[] => [...new Set([...text.matchAll(/'(ERR_[A-Z_]+)'/g)].map((match) => match[1] ?? ''))].sort();

docs('every code that is thrown has its line in docs/errors.md, and no other', () => {
  const thrown = codes(read('src/errors.ts')).filter((code) => !['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE'].includes(code));
  const sdk = (readdirSync(join(root, 'src/sdk'), { recursive: true }) as string[]).filter((name) => name.endsWith('.ts')).flatMap((name) => codes(read(`src/sdk/${name}`)));
  const broker = codes(read('src/broker/dispatch.ts'));
  const documented = [...new Set([...read('docs/errors.md').matchAll(/^\| `(ERR_[A-Z_]+)`/gm)].map((match) => match[1] ?? ''))].sort();
  assert.equal(documented, [...new Set([...thrown, ...sdk, ...broker])].sort());
});

docs('every step of a launch has its line in docs/errors.md', () => {
  const steps = [...read('native/kernel/restrict.cc').matchAll(/case Step::\w+: return "([\w-]+)"/g)].map((match) => match[1] ?? '');
  assert.ok(steps.length > 10);
  const table = read('docs/errors.md').split('## Steps')[1]?.split('##')[0] ?? '';
  for (const step of steps) assert.ok(table.includes(`\`${step}\``), step);
});

docs('SECURITY.md has a row for each guarantee, in order, and names all its exploits and tests that exist', () => {
  const rows = [...read('SECURITY.md').matchAll(/^\| `(\w+)` \|.*\| ([^|]+) \|$/gm)];
  assert.equal(rows.map((row) => row[1]), [...guaranteeNames]);
  for (const [, name, shown = ''] of rows) {
    const [, named = ''] = /proof: ([^;]+)/.exec(shown) ?? [];
    const exploits = catalogue.filter(({ guarantee }) => guarantee === name).map((attack) => `\`${attack.name}\``);
    assert.is(named, exploits.join(', '), `the exploits of ${name}`);
    for (const [file] of shown.matchAll(/[\w/-]+\.ts/g)) assert.ok(existsSync(join(root, file.startsWith('test/') ? file : `test/${file}`)), `${name}: ${file}`);
  }
});

docs('docs/seccomp.md has each row of the profile, as it is', () => {
  const page = read('docs/seccomp.md');
  const code = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ');
  const words: Record<number, string> = { 1: 'EPERM', 13: 'EACCES', 38: 'ENOSYS', 95: 'ENOTSUP' };
  const rows = refused.map(({ names, action, what }) => `| ${code(names)} | ${typeof action === 'object' ? words[action.errno] : action} | ${what} |`);
  const section = page.split('\n## ')[1]?.split('\n').filter((line) => line.startsWith('| `')) ?? [];
  assert.equal(section.slice(0, -1), rows);
  assert.ok(section.at(-1)?.startsWith(`| ${code(fileModes)}`));
  assert.ok(page.includes(`know how to go on: ${code(absent)}.`));
  const byArgument = [...(page.split('\n## ')[2] ?? '').matchAll(/^\| (.*?) \|/gm)].flatMap(([, cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name));
  assert.equal(byArgument.sort(), Object.keys(examined).sort());
});

docs('links lead to files', () => {
  for (const page of pages) {
    for (const [, target = ''] of read(page).matchAll(/\]\(([^)#:]+)\)/g)) assert.ok(existsSync(join(root, dirname(page), target)), `${page}: ${target}`);
  }
});

docs("the README's first example is the file that is run, and its table is the demo's", () => {
  const readme = read('README.md');
  assert.ok(readme.includes(`\`\`\`js\n${read('examples/signer/supervisor.mjs')}\`\`\``));
  for (const [, title = ''] of readme.matchAll(/^ {2}(\S.*?) {2,}(?:leaked|disrupted) +blocked/gm)) assert.ok(catalogue.some((attack) => attack.title === title), title);
});

docs('every package that is installed with this one has its line in docs/dependencies.md', () => {
  const { dependencies, optionalDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const table = read('docs/dependencies.md');
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) assert.ok(table.includes(`| ${name} |`), name);
});

docs.run();
