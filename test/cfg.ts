// airflow.cfg is read as Python's configparser reads it: held against that one, on made-up files.

import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bytesOf, parseCfg, textOf, type Parsed } from '../lib/config/cfg.js';
import { interpolate } from '../lib/config/expand.js';

const cfg = suite('cfg');
const hasPython = spawnSync('python3', ['-c', '']).status === 0;
if (!hasPython) console.log('skipped: needs python3');
const withPython = hasPython ? cfg : cfg.skip;

/** Lines out of which trouble is made: what begins, continues, ends, repeats, inherits or only looks as if. */
const pieces = [
  '[core]', '[CORE]', '[api_auth]', '[DEFAULT]', ' [core]', '[a]b]', '[]', '[ ]', '[core', 'core]', '[x] = 1', '[team=celery]',
  'jwt_secret = one', 'JWT_SECRET: two', 'jwt_secret=', 'jwt_secret', '  jwt_secret = in', '\tjwt_secret = in', '    deeper', '  = x', ': x', '=', 'a = b = c', 'a : b = c', 'b = a : c',
  '', '   ', '\t', '# note', '  ; note', 'x = # not a note', 'y = 1 ; nor this', 'z = "quoted"', 'p = 100%', 'q = %%', 'r = %(a)s', 'é = ü', 'İ = dotted', 'ſ = long', 'a\u00a0= nbsp', 'c =\u00a0d\u00a0', '\u00a0e = f', '\u2003g = h', '\ufeffi = j', 'k\x0b= l', '\x0cm = n', 'o = \x85p',
];
const ends = ['\n', '\r\n', '\r', '\n\n'];
const file = fc.array(fc.tuple(fc.constantFrom(...pieces), fc.constantFrom(...ends)), { maxLength: 12 }).map((lines) => lines.flat().join(''));

const python = `
import configparser, io, json, sys, unicodedata
out = []
for text in json.load(sys.stdin):
    parser = configparser.ConfigParser(interpolation=None)
    try:
        # As open() gives it, with universal newlines.
        parser.read_file(io.TextIOWrapper(io.BytesIO(text.encode('utf-8')), encoding='utf-8'))
        out.append({**{name: dict(options) for name, options in parser._sections.items() if options}, **({'DEFAULT': dict(parser._defaults)} if parser._defaults else {})})
    except configparser.Error as error:
        out.append(None)
json.dump(out, sys.stdout)
`;

const parse = (text: string): Parsed => parseCfg(new Uint8Array(Buffer.from(text)));
const asObject = ({ entries }: Parsed): Record<string, Record<string, string>> => {
  const made: Record<string, Record<string, string>> = {};
  for (const entry of entries) (made[entry.section] ??= {})[entry.key] = textOf(entry);
  return made;
};

withPython('the same options with the same values as configparser, or a problem where it has one', () => {
  const texts = fc.sample(file, { numRuns: 4000, seed: 4 });
  const { stdout, stderr } = spawnSync('python3', ['-c', python], { input: JSON.stringify(texts), encoding: 'utf8', maxBuffer: 1 << 26 });
  assert.is(stderr, '');
  const theirs = JSON.parse(stdout) as (Record<string, Record<string, string>> | null)[];
  let [read, refused] = [0, 0];
  texts.forEach((text, index) => {
    const ours = parse(text);
    const expected = theirs[index] ?? null;
    // What we refuse and it does not: control characters, and lines that begin with a space which is not ASCII's.
    const stricter = ours.problems.some(({ problem }) => /control character|not ASCII's/.test(problem));
    if (expected === null) assert.ok(ours.problems.length > 0, JSON.stringify(text));
    else if (!stricter) {
      assert.equal(ours.problems, [], JSON.stringify(text));
      assert.equal(asObject(ours), expected, JSON.stringify(text));
      read++;
    }
    if (expected === null) refused++;
  });
  assert.ok(read > 300 && refused > 300, `both happen: ${read} read, ${refused} refused`);
});

withPython('%% and %(option)s as configparser resolves them', () => {
  const value = fc.array(fc.constantFrom('%', '%%', '%(a)s', '%(A)s', '%(missing)s', '%(loop)s', '%()s', '(', ')s', 'x', ' y'), { maxLength: 6 }).map((parts) => parts.join('').trim());
  const values = fc.sample(value, { numRuns: 1000, seed: 4 });
  const script = `
import configparser, json, sys
out = []
for value in json.load(sys.stdin):
    parser = configparser.ConfigParser()
    parser.read_dict({}), parser.read_string('[s]\\na = 1%%2\\nloop = %(loop)s\\nvalue = ' + value)
    try: out.append(parser.get('s', 'value'))
    except configparser.Error: out.append(None)
json.dump(out, sys.stdout)
`;
  const { stdout, stderr } = spawnSync('python3', ['-c', script], { input: JSON.stringify(values), encoding: 'utf8' });
  assert.is(stderr, '');
  const theirs = JSON.parse(stdout) as (string | null)[];
  const options: Record<string, string> = { a: '1%%2', loop: '%(loop)s' };
  values.forEach((text, index) => {
    let ours: string | null;
    try {
      ours = interpolate(text, (key) => (key === 'value' ? text : options[key]));
    } catch {
      ours = null;
    }
    assert.is(ours, theirs[index], text);
  });
  assert.ok(theirs.includes(null) && theirs.some((text) => text !== null && text.includes('1%2')));
});

cfg("a secret's bytes are those of its text, %% being %, and any other % is refused", () => {
  const value = fc.array(fc.constantFrom('a', 'ü', '%%', ' ', '\n  b'), { maxLength: 8 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(value, (text) => {
      const [entry] = parse(`[s]\nkey = ${text}\n`).entries;
      if (entry === undefined) throw new Error('no entry');
      const bytes = bytesOf(entry) ?? assert.unreachable();
      assert.is(Buffer.from(bytes as unknown as Uint8Array).toString(), textOf(entry).replaceAll('%%', '%'));
    }),
    { numRuns: 500, seed: 4 },
  );
  for (const text of ['%', 'a%b', '%%%', '%(a)s', 'x%']) assert.is(bytesOf(parse(`[s]\nkey = ${text}`).entries[0] ?? assert.unreachable() as never), undefined, text);
});

cfg('bytes of any kind are read or refused, never thrown at', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseCfg(bytes)), { numRuns: 2000, seed: 4 });
});

cfg.run();
