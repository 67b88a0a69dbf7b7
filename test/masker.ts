import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Masker, Secret, type MaskerOptions } from '../lib/index.js';
import { defaultSensitiveNames } from '../lib/secrets/masking/rule.js';
import { TaskMasking } from '../lib/execution-api/methods/masking.js';
import { scanJson } from '../lib/secrets/masking/json-text.js';
import { native } from '../lib/native.js';
import { codeOf } from './helpers/code-of.js';
import { Fixture, inChild, withoutCapabilities } from './helpers/fixture.js';

const masker = suite('masker');

const other = 'another secret, of no text here';

function masking(values: unknown, options?: MaskerOptions): Masker {
  const made = new Masker(options);
  made.add(values);
  return made;
}

/** What comes out when the text is cut at these places. */
function cut(subject: Masker, whole: string, sizes: readonly number[]): string {
  const bytes = Buffer.from(whole);
  const mask = subject.mask();
  const parts: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    parts.push(mask.push(bytes.subarray(at, at + size)));
    at += size;
  }
  return Buffer.concat([...parts, mask.end(bytes.subarray(at))]).toString();
}

const escapedAscii = (value: string): string => JSON.stringify(value).slice(1, -1).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
const json = (value: string): string => JSON.stringify(value).slice(1, -1);
const hex = (value: string, prefix: string): string => [...Buffer.from(value)].map((byte) => `${prefix}${byte.toString(16).padStart(2, '0')}`).join('');

/** What programs make of a value on its way into a log. */
const spellings: Record<string, (value: string) => string> = {
  'as it is': (value) => value,
  'JSON': json,
  'JSON, ASCII alone': escapedAscii,
  'JSON, every character': (value) => [...value].flatMap((letter) => letter.split('')).map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  'JSON with escaped slashes': (value) => json(value).replaceAll('/', '\\/'),
  'JSON within JSON': (value) => json(json(value)),
  'JSON within JSON within JSON, ASCII alone': (value) => json(json(escapedAscii(value))),
  'hexadecimal escapes': (value) => hex(value, '\\x'),
  encodeURIComponent: (value) => encodeURIComponent(value),
  encodeURI: (value) => encodeURI(value),
  'lower case': (value) => encodeURIComponent(value).replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase()),
  'percent, twice': (value) => encodeURIComponent(encodeURIComponent(value)),
  'percent, every byte': (value) => hex(value, '%'),
  'a form': (value) => new URLSearchParams([['', value]]).toString().slice(1),
  "a URL's password": (value) => { const url = new URL('http://h'); url.password = value; return url.password; },
  "Python's quote()": (value) => encodeURIComponent(value).replaceAll('%2F', '/').replace(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`),
};

const awkward = ['hunter2', 'pa"ss\\wo/rd', 'C:\\new\\"x"', ' 100% + two = é', 'ключ-ключ', '💥 boom 💥', "it's\ta\ttab", '%2F%41', 'a+b c', '"quoted"', '\\\\\\\\\\', 'aaaaaaaaaa', "-----BEGIN X-----\nMIIBVgIBADANBgkqhkiG\n9w0BAQEFAASC\n-----END X-----"];

masker('finds a value however it is spelt, in one piece and byte by byte', () => {
  for (const value of awkward) {
    using subject = masking(value);
    using control = masking(other);
    for (const [name, spell] of Object.entries(spellings)) {
      const line = `{"before": "${spell(value)}", "after": 1}`;
      const shown = '{"before": "***", "after": 1}';
      assert.is(control.redact(line), line);
      assert.is(subject.redact(line), shown, `${name} of ${value}`);
      assert.is(cut(subject, line, Array(Buffer.byteLength(line)).fill(1)), shown, `${name} of ${value}, byte by byte`);
    }
  }
});

masker('finds a value within base64 of anything, in both alphabets and broken into lines', () => {
  for (const value of [...awkward, '????>>>>????', randomBytes(300).toString('hex')]) {
    using subject = masking(value);
    using control = masking(other);
    for (const before of ['', 'x', 'xy', 'user:']) {
      for (const encoding of ['base64', 'base64url'] as const) {
        const whole = Buffer.from(`${before}${value}?!`).toString(encoding);
        assert.is(control.redact(whole), whole);
        for (const shown of [subject.redact(whole), cut(subject, whole, Array(whole.length).fill(1))]) {
          assert.ok(shown.includes('***'), `${before} ${value} ${encoding}`);
          // Not a bit of it: what is left decodes to what stood around it.
          const [left = '', right = ''] = shown.split('***');
          assert.is(Buffer.from(left, encoding).toString('latin1'), before.slice(0, Math.floor((left.length * 6) / 8)));
          assert.ok(right.replaceAll('=', '').length * 6 <= 8 * '?!'.length + 5, shown);
        }
      }
    }
    const lines = Buffer.from(`${'-'.repeat(40)}${value}`).toString('base64').replace(/.{76}/g, '$&\n');
    assert.is(control.redact(lines), lines);
    assert.ok(subject.redact(lines).includes('***'), lines);
  }
});

const text_ = fc.string({ unit: 'grapheme', maxLength: 30 });
const secretText = fc.oneof(fc.string({ unit: 'grapheme', minLength: 5, maxLength: 20 }), fc.stringMatching(/^[a-c\\"%+ \n]{5,12}$/), fc.constantFrom(...awkward));
const part = fc.oneof(
  text_,
  fc.record({ which: fc.nat(), spelling: fc.constantFrom(...Object.keys(spellings), 'base64'), cut: fc.integer({ min: 0, max: 200 }) }),
  fc.constantFrom('\\', '\\\\', '%', '%2', 'eyJ', '\n', 'eyJhbGciOiJIUzI1NiJ9.e30.sig', '"', 'a'),
);

masker('what a stream shows does not depend on how it is cut', () => {
  fc.assert(fc.property(fc.array(secretText, { minLength: 1, maxLength: 5 }), fc.array(part, { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 40 }), (values, parts, sizes) => {
    using subject = masking(values, { skip: [] });
    const whole = parts.map((piece) => {
      if (typeof piece === 'string') return piece;
      const value = values[piece.which % values.length] as string;
      const spelt = piece.spelling === 'base64' ? Buffer.from(`${'xyz'.slice(piece.which % 4)}${value}`).toString('base64') : (spellings[piece.spelling] as (value: string) => string)(Buffer.from(value).toString());
      return spelt.slice(0, piece.cut); // often whole, sometimes a beginning
    }).join('');
    assert.is(cut(subject, whole, sizes), subject.redact(Buffer.from(whole).toString()));
  }), { numRuns: 600 });
});

masker('leaves no value in any text, and no text changed that has none', () => {
  fc.assert(fc.property(fc.array(fc.stringMatching(/^[ab]{5,9}$/), { minLength: 1, maxLength: 4 }), fc.stringMatching(/^[ab]{0,80}$/), (values, whole) => {
    using subject = masking(values);
    // By definition: a place is hidden when some occurrence covers it.
    const hidden = Array<boolean>(whole.length).fill(false);
    const spans: [number, number][] = [];
    for (const value of values) for (let at = whole.indexOf(value); at >= 0; at = whole.indexOf(value, at + 1)) spans.push([at, at + value.length]);
    for (const [from, to] of spans) hidden.fill(true, from, to);
    const starts = new Set(spans.map(([from]) => from).filter((from) => !spans.some(([a, b]) => a < from && from < b)));
    const expected = [...whole].map((letter, at) => `${starts.has(at) ? '***' : ''}${hidden[at] === true ? '' : letter}`).join('');
    assert.is(subject.redact(whole), expected);
  }), { numRuns: 500 });
});

masker('values that overlap are hidden whole', () => {
  using subject = masking(['abcdef', 'defghi', 'abcdefghijkl']);
  assert.equal(['abcdef', 'abcdefghi', 'abcdefghijkl', 'xdefghix', 'abcdefabcdef', 'abcde'].map((line) => subject.redact(line)), ['***', '***', '***', 'x***x', '******', 'abcde']);
});

masker('hides what has the shape of a JWT, registered or not, and nothing that only begins so', () => {
  const jwt = `${Buffer.from('{"alg":"HS512","kid":"not-used","typ":"JWT"}').toString('base64url')}.${Buffer.from('{"sub":"x"}').toString('base64url')}.${randomBytes(64).toString('base64url')}`;
  const jwe = `${Buffer.from('{"alg":"dir","enc":"A256GCM"}').toString('base64url')}..aXY.Y2lwaGVy.dGFn`;
  using subject = new Masker();
  using control = new Masker({ tokens: false });
  for (const token of [jwt, jwe]) {
    const line = `Authorization: Bearer ${token}, and so on`;
    assert.is(control.redact(line), line);
    for (const shown of [subject.redact(line), cut(subject, line, Array(line.length).fill(1))]) assert.is(shown, 'Authorization: Bearer eyJ***, and so on');
  }
  for (const line of ['eyJ', 'eyJ.x.y', 'eyJhbGciOiJIUzI1NiJ9', `the file ${Buffer.from('{"a":1}').toString('base64')}.json`, 'ey', 'e']) {
    assert.is(subject.redact(line), line);
    assert.is(cut(subject, line, Array(line.length).fill(1)), line);
  }
  // Nobody can tell yet, and for ever is too long to wait.
  assert.is(cut(subject, `eyJ${'a'.repeat(100_000)} end`, [5_000, 5_000, 80_000]), 'eyJ*** end');
});

masker('a stream passes on what cannot be a beginning, and the rest at its end', async () => {
  using subject = masking('hunter2 and more');
  const mask = subject.mask();
  assert.equal(['done.\n', 'hunter', '3\n', 'hunter2 and'].map((chunk) => mask.push(Buffer.from(chunk)).toString()), ['done.\n', '', 'hunter3\n', '']);
  assert.is(mask.end().toString(), 'hunter2 and');
  const through = subject.stream();
  const [shown] = await Promise.all([text(through), pipeline(Readable.from(['x hunter2', ' and mo', 're y']), through)]);
  assert.is(shown, 'x *** y');
});

masker('registers what Airflow does: of five characters or more, but "airflow", under sensitive names within', () => {
  using subject = new Masker();
  assert.equal(['four', 'éééé', 'Airflow', '', '12345', '12345', 'fifth\n'].map((value) => subject.add(value)), [0, 0, 0, 0, 1, 0, 1]);
  assert.is(subject.redact('four Airflow 12345 fifth'), 'four Airflow *** ***');
  assert.equal([subject.add('in the open', 'colour'), subject.add('not to be seen', ' My_API_Key ')], [0, 1]);
  assert.is(subject.add({ host: 'db.internal', password: 'pass-word', extra: { keyfile_dict: { id: 'key-file', pin: 123456 }, port: 55432 }, list: ['a list of'] }), 3);
  assert.is(subject.redact('in the open not to be seen db.internal pass-word key-file 123456 55432 a list of'), 'in the open *** db.internal *** *** *** 55432 a list of');
  using own = new Masker({ minLength: 3, skip: ['xyz'], sensitiveNames: ['Colour'] });
  assert.equal([own.add('abc'), own.add('XYZ'), own.add('ab'), own.add('in the open', 'colours')], [1, 0, 0, 1]);
  assert.is(own.redact('abc XYZ ab in the open'), '*** XYZ ab ***');
});

masker('of a value of several lines each longer one is registered too', () => {
  using subject = masking('-----BEGIN PRIVATE KEY-----\r\nMIIBVgIBADANBgkqhkiG9w0B\r\nAQEFAASCAUAwggE8AgEAAkEA\r\nshort\r\n-----END PRIVATE KEY-----\r\n');
  assert.is(subject.size, 3);
  assert.is(subject.redact('  -----BEGIN PRIVATE KEY-----\n  MIIBVgIBADANBgkqhkiG9w0B\n  short'), '  -----BEGIN PRIVATE KEY-----\n  ***\n  short');
});

masker('hides values under sensitive names, and what is registered anywhere else', () => {
  using subject = masking(['registered', '778899']);
  const deep: Record<string, unknown> = { message: 'all registered' };
  deep['self'] = deep;
  const throwing = { get x(): string { throw new Error('registered'); } };
  const error = new TypeError('was registered', { cause: new Error('eyJhbGciOiJIUzI1NiJ9.e30.sig') });
  const record = {
    event: 'is registered', rows: 3, flag: true, pin: 778899, none: null, password: 'x', Authorization: { scheme: 'Bearer', parts: ['a', 1, null] },
    map: new Map([['token', 'short'], ['colour', 'green']]), bytes: Buffer.from('registered!'), secret_holder: Secret.fromBytes(Buffer.from('bytes')), deep, throwing, registered: 1, error,
    ['__proto__x']: JSON.parse('{"__proto__": "registered"}') as unknown,
  };
  const shown = subject.redactValue(record) as Record<string, any>;
  assert.equal({ ...shown, error: undefined, secret_holder: undefined }, {
    event: 'is ***', rows: 3, flag: true, pin: '***', none: null, password: '***', Authorization: { scheme: '***', parts: ['***', '***', null] },
    map: new Map([['token', '***'], ['colour', 'green']]), bytes: '***!', deep: { message: 'all ***', self: '[Circular]' }, throwing: '<redaction-failed>', '***': 1, secret_holder: undefined,
    error: undefined, ['__proto__x']: JSON.parse('{"__proto__": "***"}'),
  });
  assert.equal([shown['error'].name, shown['error'].message, shown['error'].cause.message], ['TypeError', 'was ***', 'eyJ***']);
  assert.not.ok(inspect(shown, { depth: 99 }).includes('registered'));
  assert.ok(inspect(record, { depth: 99 }).includes('registered')); // control
  assert.equal([subject.redactValue('x', 'api_key'), subject.redactValue('x', 'colour'), subject.redactValue(7, 'token'), subject.redactValue(7)], ['***', 'x', '***', 7]);
  let nested: unknown = 'registered';
  for (let depth = 0; depth < 1000; depth++) nested = [nested];
  assert.not.ok(JSON.stringify(subject.redactValue(nested)).includes('registered'));
});

masker('hides fields of a JSON line by name, and leaves other lines as they were written', () => {
  using subject = masking('registered');
  const rows: [string, string][] = [
    ['{"event": "x", "api_key": "k", "n": {"proxies": ["p"]}}', '{"event": "x", "api_key": "***", "n": {"proxies": ["***"]}}'],
    ['{"event": "a token", "id": 12345678901234567890}', '{"event": "a token", "id": 12345678901234567890}'],
    ['{"event": "registered",  "x": 1}', '{"event": "***",  "x": 1}'],
    ['{"a": "b", "password": "hun\\"ter2", "cut": "of', '{"a": "b", "password": "***", "cut": "of'],
    ['{"password" : "hunt', '{"password" : "***'],
    ['{"password', '{"password'],
    ['a password is "not" JSON', 'a password is "not" JSON'],
  ];
  for (const [line, shown] of rows) assert.is(subject.redactFields(subject.redact(line)), shown);
  const quotes = `{"password": "${'\\"'.repeat(100_000)}`; // read once, not once for each quote
  assert.is(subject.redactFields(quotes), '{"password": "***');
});

masker('hides fields of JSON whatever their shape, and of what was cut', () => {
  using subject = masking('4711471147');
  const rows: [what: string, line: string, shown: string][] = [
    ['lists and objects under a name', '{"tokens":["a",7,{"x":"b","y":[true,null]}],"z":"a"}', '{"tokens":["***","***",{"x":"***","y":[true,null]}],"z":"a"}'],
    ['what follows is not under it', '[{"a":{"token":{}},"b":1},{"token":-1.5e3},"c"]', '[{"a":{"token":{}},"b":1},{"token":"***"},"c"]'],
    ['a name that is escaped', '{"pass\\u0077ord":"x","p\\u0061ss":"x"}', '{"pass\\u0077ord":"***","p\\u0061ss":"x"}'],
    ['one name twice', '{"token":"a","token":"b"}', '{"token":"***","token":"***"}'],
    ['a number that is registered keeps the line JSON', '{"pin": 4711471147, "b": [-4711471147.5], "c": 47}', '{"pin": "***", "b": ["***"], "c": 47}'],
    ['numbers as they were written', '{"token_":"a","n":[1e999,12345678901234567890,0.10]}', '{"token_":"***","n":[1e999,12345678901234567890,0.10]}'],
    ['lists of a line that was cut', '{"tokens":["a","b', '{"tokens":["***","***'],
    ['numbers of a line that was cut', '{"token":12,"token":3', '{"token":"***","token":"***"'],
    ['what is no JSON, from there on', '{"password":hunter2, "b":1}', '{"password":***'],
    ['a mark alone', '4711471147', '***'],
  ];
  for (const [what, line, shown] of rows) assert.is(subject.redactFields(subject.redact(line)), shown, what);
  for (const deep of [100, 30_000]) assert.is(subject.redactFields(`{"token":${'['.repeat(deep)}"x"${']'.repeat(deep)}}`), `{"token":${'['.repeat(deep)}"***"${']'.repeat(deep)}}`);
});

masker('takes for JSON what JSON.parse() does', () => {
  const isJson = (text: string): boolean => {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  };
  const texts = ['', ' ', '{', '}', '{}', '[]', '[1,]', '[,1]', '{"a"}', '{"a":}', '{"a":1,}', '{,}', '[1 2]', '{"a":1 "b":2}', '01', '-', '-0', '1.', '.1', '1e', '1E+5', '+1', 'NaN', 'tru', 'true', 'truex', 'null', '"\\x"', '"\\u12g4"', '"\\u12f4"', '"\t"', '"\\"', '"\\\\"', '\ufeff1', '\u00a01', '\n1\r\t ', '[[]', '[]]', '{"a":[{}],"b":{"c":[]}} ', '{"__proto__":1}', '*', '1*', '***', '[1***]', "'a'", '"\u2028"', '[}', '{"a":1]'];
  for (const text of texts) assert.is(scanJson(text).isWhole, isJson(text) || text.includes('***'), JSON.stringify(text)); // a mark is a number that was hidden
  fc.assert(fc.property(fc.json({ maxDepth: 6 }), fc.nat(), fc.constantFrom('', ',', '"', '\\', '{', ']', '0', ' ', '-', 'e', '\u0001'), (text, where, extra) => {
    const changed = text.slice(0, where % (text.length + 1)) + extra + text.slice((where % (text.length + 1)) + (where % 2));
    assert.is(scanJson(text).isWhole, true, text);
    assert.is(scanJson(changed).isWhole, isJson(changed), changed);
  }), { numRuns: 2000 });
});

masker('makes nothing of a line of JSON, however wide', () => {
  using subject = new Masker();
  const wide = JSON.stringify({ token: 'x', ...Object.fromEntries(Array.from({ length: 6000 }, (_, index) => [`k${index}`, index])) });
  const { parse, stringify } = JSON;
  let made = 0;
  JSON.parse = (text: string) => (made++, parse(text) as unknown);
  JSON.stringify = ((value: unknown) => (made++, stringify(value))) as typeof stringify;
  try {
    assert.is(subject.redactFields(wide), wide.replace('"x"', '"***"'));
    assert.is(made, 0);
    subject.redactFields('{"a\\u0062":1}');
    assert.is(made, 1, 'control: of a name that is escaped it makes one');
  } finally {
    Object.assign(JSON, { parse, stringify });
  }
});

masker('registers one value after the other in memory that grows with them', () => {
  const addon = native();
  const { newSecret } = addon;
  let images = 0;
  addon.newSecret = (byteLength: number) => (images++, newSecret(byteLength));
  const values = Array.from({ length: 5000 }, (_, index) => `${randomBytes(9).toString('base64')}${index}`);
  try {
    using subject = new Masker();
    values.forEach((value, index) => assert.is(subject.add(value), 1, `${index}`));
    assert.ok(images < 100, `${images} images for 5000 values`);
    assert.equal([subject.add(values), subject.size], [0, 5000], 'known, each');
    images = 0;
    using other = new Masker();
    assert.equal([other.add([...values, ...values]), other.size], [5000, 5000]);
    assert.ok(images <= 3, `${images} images for 5000 values at once`);
    for (const each of [subject, other]) {
      assert.is(each.redact(values.join('\n')), Array(5000).fill('***').join('\n'));
      assert.is(each.redact(values.map((value) => Buffer.from(`x${value}`).toString('base64')).join(' ')).replaceAll(/[^*]{1,4}\*\*\*[=]*/g, '').trim(), '');
      assert.is(each.add('tiny!'), 1); // every window is shorter from now on
      assert.is(each.redact(`${values[0]} ${values[4999]} tiny!`), '*** *** ***');
    }
  } finally {
    addon.newSecret = newSecret;
  }
});

masker('what a task has rendered is looked through at once, however many values it has', () => {
  using subject = masking(['hunter2', '4711471147', 'nine lives']);
  const rendered = new TaskMasking(subject);
  const opened = (work: () => unknown): number => {
    const addon = native();
    const { openSecret } = addon;
    let count = 0;
    addon.openSecret = (handle) => (count++, openSecret(handle));
    try {
      work();
      return count;
    } finally {
      addon.openSecret = openSecret;
    }
  };
  const wide = { values: Array.from({ length: 10_000 }, (_, index) => `value ${index}`) };
  assert.is(opened(() => assert.equal(rendered.redactJson(wide), wide)), 1);
  assert.ok(opened(() => subject.redactValue(wide)) >= 10_000); // control
  assert.is(opened(() => subject.redactValue(Array.from({ length: 100 }, (_, index) => index))), 0, 'what is shorter than any value holds none');
  for (const each of [{ a: 'x hunter2', hunter2: [1, null, true], pin: 4711471147, token: { a: [7, 'b'] }, __proto: '\u2028"\\' }, { a: 'a line\nine lives, hunter2', token: 'x' }]) assert.equal(rendered.redactJson(each), subject.redactValue(each));
  assert.equal(rendered.redactJson({ a: 'one\nine lives', b: 'hunter2' }), { a: 'one\nine lives', b: '***' }); // the second begins in an escape
  assert.equal(new TaskMasking(undefined).redactJson(wide), wide);
});

masker('with a thousand values text that is full of escapes, and has none of them, stays', () => {
  using subject = masking(Array.from({ length: 1000 }, () => randomBytes(18).toString('base64')));
  const text = encodeURIComponent(randomBytes(9000).toString('base64'));
  assert.is(subject.redact(text), text);
});

masker('a stream keeps back little, whatever is registered and however it is spelt', () => {
  using subject = masking('a'.repeat(60_000));
  const mask = subject.mask();
  let kept = 0;
  for (let chunk = 0; chunk < 20; chunk++) {
    mask.push(Buffer.from('\\\\u0061'.repeat(1000)));
    const held = mask.forget();
    kept = Math.max(kept, held.length);
    mask.push(held);
  }
  assert.ok(kept > 0 && kept <= 40_000, `${kept} bytes`);
});

masker('text that is made to be slow is hidden, not worked through', () => {
  using subject = masking(['a'.repeat(60_000)]);
  const line = `${'a'.repeat(59_999)}b`.repeat(4);
  assert.ok(['***', line].includes(subject.redact(line)));
  assert.ok(!cut(subject, 'a'.repeat(200_000), [65_536, 65_536]).includes('a'));
  using surrogates = masking('💥 boom 💥');
  const chain = '\\ud83d'.repeat(50_000);
  assert.is(surrogates.redact(chain), chain);
});

masker('a value of any length is hidden whole', () => {
  for (const length of [65_536, 65_537, 150_000]) {
    const value = randomBytes(length).toString('hex').slice(0, length);
    using subject = masking(`${value}é`);
    assert.match(subject.redact(`x ${value}é y`), /^x [*]+ y$/);
    assert.match(cut(subject, `x ${value}é y`, [70_000, 3, 70_000]), /^x [*]+ y$/);
  }
});

masker("docs/masking.md names Airflow's fields", () => {
  const page = readFileSync(fileURLToPath(new URL('../docs/masking.md', import.meta.url)), 'utf8');
  const [, listed = ''] = /DEFAULT_SENSITIVE_FIELDS: ([^.]+)\./.exec(page) ?? [];
  assert.equal([...listed.matchAll(/`(\w+)`/g)].map(([, name]) => name), defaultSensitiveNames);
  using subject = new Masker();
  for (const name of defaultSensitiveNames) assert.equal(subject.redactValue({ [`My_${name.toUpperCase()} `]: 'x', colour: 'x' }), { [`My_${name.toUpperCase()} `]: '***', colour: 'x' });
});

masker('misuse is named', () => {
  for (const [options, code] of [[{ minLength: 2 }, 'ERR_OUT_OF_RANGE'], [{ minLength: '5' }, 'ERR_INVALID_ARG_TYPE'], [{ skip: 'airflow' }, 'ERR_INVALID_ARG_TYPE'], [{ sensitiveNames: [1] }, 'ERR_INVALID_ARG_TYPE'], [{ tokens: 1 }, 'ERR_INVALID_ARG_TYPE'], [{ length: 5 }, 'ERR_OUT_OF_RANGE'], [null, 'ERR_INVALID_ARG_TYPE']] as const) {
    assert.is(codeOf(() => new Masker(options as never)), code, JSON.stringify(options));
  }
  using subject = new Masker();
  assert.is(codeOf(() => subject.redact(1 as never)), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOf(() => subject.add('x', 1 as never)), 'ERR_INVALID_ARG_TYPE');
});

masker('bytes and secrets stay the caller\'s, and outlive it', () => {
  using subject = new Masker();
  const bytes = Buffer.from('some bytes');
  const secret = Secret.fromBytes(Buffer.from('a secret'));
  assert.is(subject.add([bytes, secret]), 2);
  assert.is(bytes.toString(), 'some bytes');
  assert.is(secret.use((held) => Buffer.from(held).toString()), 'a secret');
  secret.destroy();
  bytes.fill(0);
  assert.is(subject.redact('some bytes, a secret'), '***, ***');
});

masker('once destroyed lets nothing through', async () => {
  const subject = masking('hunter2');
  const through = subject.stream();
  const shown: string[] = [];
  through.on('data', (chunk) => shown.push(String(chunk)));
  through.write('before hunter2\n');
  await new Promise((resolve) => through.write('', resolve));
  subject.destroy();
  subject.destroy();
  const failed = new Promise<NodeJS.ErrnoException>((resolve) => through.once('error', resolve));
  through.write('after hunter2\n');
  assert.is((await failed).code, 'ERR_SECRET_DESTROYED');
  assert.equal(shown, ['before ***\n']);
  for (const use of [() => subject.redact('x'), () => subject.add('longer')]) assert.is(codeOf(use), 'ERR_SECRET_DESTROYED');
});

masker('what is registered is nowhere in memory that another process can read', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-'));
  const file = join(folder, 'secret');
  const canary = `canary${randomBytes(24).toString('hex')}`;
  writeFileSync(file, canary, { mode: 0o600 });
  const copies = async (how: 'masker' | 'string') => {
    const fixture = new Fixture('masker-life.js', { args: [how, file], through: withoutCapabilities });
    try {
      await fixture.next();
      fixture.go();
      await fixture.next();
      // Whole, its first eight characters, and its base64.
      const found = [];
      for (const part of [canary, canary.slice(6, 22), Buffer.from(canary).toString('base64').slice(0, 24)]) {
        const seen = await inChild<{ memory: string; copies: number }>('attack.js', { args: [String(fixture.pid), part], through: withoutCapabilities });
        assert.is(seen.memory, 'read', 'the search itself works');
        found.push(seen.copies);
      }
      return found;
    } finally {
      await fixture.end();
    }
  };
  try {
    const secretMemory = Secret.fromBytes(Buffer.from('x')).protection === 'memfd_secret';
    assert.ok((await copies('string'))[0] as number >= 1); // control
    assert.equal(await copies('masker'), secretMemory ? [0, 0, 0] : [1, 1, 0]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

masker.run();
