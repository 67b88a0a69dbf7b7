// `npm run bench [-- NAME ...] [-- --json FILE]`: each file of this folder that is a bench, in a process of its own.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const folder = fileURLToPath(new URL('.', import.meta.url));
const names = readdirSync(folder).filter((name) => name.endsWith('.ts')).map((name) => name.replace(/\.ts$/, '')).sort();

const { values, positionals } = parseArgs({ options: { json: { type: 'string' } }, allowPositionals: true });
const unknown = positionals.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  console.error(`no bench named ${unknown.join(', ')}; there are: ${names.join(', ')}`);
  process.exit(2);
}

const results = {};
const scratch = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
try {
  for (const name of positionals.length > 0 ? positionals : names) {
    const file = join(scratch, `${name}.json`);
    const done = spawnSync(process.execPath, ['--import', 'tsx', join(folder, `${name}.ts`), file], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
    if (done.status !== 0) {
      process.exitCode = done.status ?? 1;
      break;
    }
    results[name] = JSON.parse(readFileSync(file, 'utf8'));
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
if (values.json !== undefined && process.exitCode === undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
