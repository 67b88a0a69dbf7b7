import type { MaskImage } from './image.js';
import { endOfToken, findTokens } from './jwt-shape.js';
import { Search } from './search.js';
import { rendered, type Span, united } from './spans.js';

/** What is looked for in a text: the values of now, and whether tokens by their shape. */
export interface Sought {
  readonly images: readonly MaskImage[];
  readonly tokens: boolean;
}

const nothing = Buffer.alloc(0);

/** One stream's bytes with what is sought masked in them, however the stream is cut. Keeps back what may be the beginning of it. */
export class StreamMask {
  readonly #sought: () => Sought;
  #held: Buffer = nothing;
  /** The first so many of what is held have been written as a mark. */
  #covered = 0;
  /** A token has been written as a mark, and what comes next may be more of it. */
  #open = false;

  constructor(sought: () => Sought) {
    this.#sought = sought;
  }

  /** @throws {SecretDestroyed} `ERR_SECRET_DESTROYED`: the masker was destroyed, and nothing more gets through. */
  push(chunk: Uint8Array): Buffer {
    return this.#advance(this.#with(chunk), false);
  }

  /** What was kept back, and a last chunk. The next push begins another stream. */
  end(chunk: Uint8Array = nothing): Buffer {
    return this.#advance(this.#with(chunk), true);
  }

  /** Nothing more of what went before is wanted: gives it up as it came. */
  forget(): Buffer {
    const held = this.#held;
    this.#held = nothing;
    this.#covered = 0;
    this.#open = false;
    return held;
  }

  #with(chunk: Uint8Array): Buffer {
    return this.#held.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength) : Buffer.concat([this.#held, chunk]);
  }

  #advance(text: Buffer, final: boolean): Buffer {
    const { images, tokens } = this.#sought();
    const spans: Span[] = [];
    const run = this.#open ? endOfToken(text, 0) : 0;
    const written = Math.max(this.#covered, run);
    if (written > 0) spans.push({ start: 0, end: written, mark: '', open: this.#open && run === text.length });
    let upTo = tokens ? findTokens(text, final, spans) : text.length;
    for (const image of images) {
      image.open((open) => {
        const search = new Search(image, open, text, spans);
        search.find();
        if (!final) upTo = Math.min(upTo, search.firstOpen());
      });
    }
    const joined = united(spans);
    const last = joined.findLast(({ start, mark }) => start < upTo || mark === '');
    const stillOpen = this.#open && text.length === 0;
    this.#covered = Math.max(0, (last?.end ?? 0) - upTo);
    this.#open = !final && (stillOpen || last?.open === true);
    this.#held = upTo === text.length ? nothing : Buffer.from(text.subarray(upTo)); // not the caller's, which may be used again
    return rendered(text, joined, upTo);
  }
}
