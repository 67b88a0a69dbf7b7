// docs/cli.md: what it shows is what is printed.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadPolicy } from '../lib/index.js';
import { asWeAre, cli } from './helpers/cli.js';

const page = suite('cli-page');
const text = readFileSync(new URL('../docs/cli.md', import.meta.url), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'sallyport-page-'));
page.after(() => rmSync(folder, { recursive: true, force: true }));

page('every console block is the real output', async () => {
  writeFileSync(join(folder, 'data.csv'), 'a,1\nb,2\n');
  const blocks = [...text.matchAll(/```console\n\$ sallyport (.*)\n([^]*?)```/g)];
  assert.ok(blocks.length >= 6);
  for (const [, line = '', shown] of blocks) {
    const { stdout, stderr } = await cli(asWeAre, line.split(' '), { cwd: folder, env: { NO_COLOR: '1' } });
    assert.is(stdout + stderr, shown, line);
  }
});

page('the policy file is one', () => {
  const [, json = ''] = /```json\n([^]*?)```/.exec(text) ?? [];
  writeFileSync(join(folder, 'build.json'), json);
  assert.is(loadPolicy(join(folder, 'build.json')).limits?.memoryBytes, 1e9);
});

page.run();
