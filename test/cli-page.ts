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

page('every help fits a terminal of 80 columns', async () => {
  const help = async (...words: string[]): Promise<string> => (await cli(asWeAre, [...words, '--help'], { env: { NO_COLOR: '1' } })).stdout;
  const general = await help();
  const commands = [...general.matchAll(/^ {2}([a-z]+) {2}/gm)].map(([, name = '']) => name);
  assert.ok(commands.length >= 13 && commands.includes('triggerer'), general);
  for (const name of [undefined, ...commands]) {
    const shown = name === undefined ? general : await help(name);
    assert.ok(shown.startsWith(`usage: sallyport ${name ?? '<command>'} `), shown);
    assert.equal(shown.split('\n').filter((line) => line.length > 80), [], name);
  }
});

page('a word that is mistyped is told of with the one that was meant', async () => {
  const said: readonly (readonly [words: string, said: RegExp])[] = [
    ['trigerer', /there is no command "trigerer"; is triggerer meant\?\n\nusage/],
    ['zzz', /there is no command "zzz"\n\nusage/],
    ['worker --polcy x', /there is no option --polcy; is --policy meant\? --help lists all\n$/],
    ['top --zzz', /there is no option --zzz; --help lists all\n$/],
    ['logs -x', /there is no option -x; --help/],
    ['worker --once=3', /--once takes no value\n$/],
    ['worker --concurrency', /--concurrency takes a value\n$/],
    ['worker --concurrency --json', /--concurrency takes a value; one that begins with "-" is given as --concurrency=--json\n$/],
    ['doctor now', /"now" is one word too many/],
  ];
  for (const [words, pattern] of said) {
    const { code, stdout, stderr } = await cli(asWeAre, words.split(' '));
    assert.equal([code, stdout], [2, ''], words);
    assert.match(stderr, pattern);
  }
  assert.is((await cli(asWeAre, ['help', 'top'])).stdout, (await cli(asWeAre, ['top', '--help'])).stdout);
});

page('what is no policy, no file and no guarantee is a mistake of the command line, and no stack', async () => {
  const key = join(folder, 'key');
  writeFileSync(key, 'k'.repeat(64), { mode: 0o600 });
  const said: readonly (readonly [words: readonly string[], said: RegExp])[] = [
    [['serve', '--listen', '127.0.0.1:0', '--database', ':memory:', '--key', `file:${key}`, '--policy', key], /--policy \S+ is no policy\.wasm/],
    [['serve', '--database', ':memory:', '--key', `file:${key}`, '--without', 'foo'], /--without is one of memory, .*, not "foo"/],
    [['parse', '--bundle', folder, folder], /is no file|is not in the bundle/],
    [['parse', '--bundle', tmpdir(), folder], /is no file/],
  ];
  for (const [words, pattern] of said) {
    const { code, stdout, stderr } = await cli(asWeAre, words);
    assert.equal([code, stdout], [2, ''], `${words.join(' ')}: ${stderr}`);
    assert.match(stderr, pattern);
    assert.not.match(stderr, /\n +at /);
  }
});

page('the policy file is one', () => {
  const [, json = ''] = /```json\n([^]*?)```/.exec(text) ?? [];
  writeFileSync(join(folder, 'build.json'), json);
  assert.is(loadPolicy(join(folder, 'build.json')).limits?.memoryBytes, 1e9);
});

page.run();
