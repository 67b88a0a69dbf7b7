// What reading a task's lines takes of the event loop that all tasks share, and that no line ends the reading.

import { Readable } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Lane } from '../lib/broker/turns.js';
import { Masker } from '../lib/index.js';
import { drain, maxLineBytes, type LogLine } from '../lib/supervisor/lines.js';

const lines = suite('lines');

const chunkBytes = 64 << 10;
const atOnce = 16 << 10;
const stream = (...chunks: readonly (string | Buffer)[]): Readable => Readable.from(chunks.map((chunk) => Buffer.from(chunk)), { objectMode: true });
const filled = (line: string): string => `${line}\n`.repeat(Math.ceil(chunkBytes / line.length)).slice(0, chunkBytes - 1) + '\n';

/** Notes what each piece of its work handles. */
class NotingLane extends Lane {
  readonly masked: number[] = [];
  readonly lines: number[] = [];
  #shown = 0;

  shown(bytes: number): void {
    this.#shown += bytes;
  }

  override run<T>(work: () => T): Promise<T> {
    return super.run(() => {
      this.#shown = 0;
      const result = work();
      if (Buffer.isBuffer(result)) this.masked.push(result.length);
      else this.lines.push(this.#shown);
      return result;
    });
  }
}

const hostile: Record<string, string> = {
  'many fields': filled(JSON.stringify({ token: 1, ...Object.fromEntries(Array.from({ length: 90 }, (_, index) => [`k${index}`, index])) })),
  'lines of 1 KiB': filled('x'.repeat(1023)),
  'nothing but newlines': '\n'.repeat(chunkBytes),
  'one line': `{"token":1,"x":[${'1,'.repeat(30_000)}1]}\n`,
  'no line': 'x'.repeat(chunkBytes),
};
for (const [what, chunk] of Object.entries(hostile)) {
  lines(`no turn of the queue is spent on more than a part of a chunk: ${what}`, async () => {
    using masker = new Masker();
    masker.add('a-secret-that-never-comes');
    const lane = new NotingLane();
    let [shown, longest] = [0, 0];
    await drain(stream(chunk, chunk, chunk), 'ti', 'log', ({ line }) => {
      lane.shown(line.length + 1);
      shown += line.length + 1;
      longest = Math.max(longest, line.length + 1);
    }, masker, undefined, lane);
    assert.ok(shown > maxLineBytes, 'control: all of it was shown, or what a line may have');
    for (const bytes of lane.masked) assert.ok(bytes <= atOnce + 200, `${bytes} bytes masked at once`); // with what was kept back
    for (const bytes of lane.lines) assert.ok(bytes < atOnce + longest, `${bytes} bytes shown at once`);
  });
}

lines('between a request and its turn twelve tasks that log without end have one turn each', async () => {
  const floods = 12;
  let served = 0;
  const waits: number[] = [];
  const asked = async (): Promise<void> => {
    const before = served;
    await new Lane().run(() => waits.push(served - before)); // one of its own: what the machine did to us meanwhile is not charged to the next
  };
  class Flood extends Lane {
    override run<T>(work: () => T): Promise<T> {
      return super.run(() => (served++, work()));
    }
  }
  const chunk = hostile['many fields'] as string;
  const flooded = Promise.all(Array.from({ length: floods }, () => drain(stream(...Array<string>(40).fill(chunk)), 'ti', 'log', () => {}, undefined, undefined, new Flood())));
  let isOver = false;
  void flooded.then(() => (isOver = true));
  while (!isOver) {
    await new Promise(setImmediate);
    await asked();
  }
  assert.ok(served > floods * 40 && waits.length > 3, `control: ${served} pieces of work, ${waits.length} requests`);
  assert.ok(waits.every((wait) => wait <= floods + 1), `${waits}`);
});

lines('no line ends the reading of those that follow', async () => {
  const odd = [
    `{"token":1,"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`, // too deep for V8 to write
    `{"token":${'{"token":'.repeat(5000)}`,
    `{"token":"${'\\'.repeat(50_000)}`,
    '\0'.repeat(100),
    `${'"'.repeat(60_000)}token`,
    '{"toJSON":1,"token":{"__proto__":{"toJSON":2}}}',
  ];
  for (const line of odd) {
    using masker = new Masker();
    masker.add('hunter2');
    const seen: LogLine[] = [];
    await drain(stream('before\n', line, '\nafter hunter2\n'), 'ti', 'log', (entry) => seen.push(entry), masker);
    assert.equal([seen.length, seen[0]?.line, seen[2]?.line], [3, 'before', 'after ***'], line.slice(0, 20));
  }
});

lines('a masker that is destroyed meanwhile lets nothing more through, and the reading ends', async () => {
  const masker = new Masker();
  const seen: string[] = [];
  await drain(stream('one\n', 'two\n', 'three'), 'ti', 'stdout', ({ line }) => {
    seen.push(line);
    masker.destroy();
  }, masker);
  assert.equal(seen, ['one']);
});

lines.run();
