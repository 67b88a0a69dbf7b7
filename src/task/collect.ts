import { StringDecoder } from 'node:string_decoder';

const pieceBytes = 1 << 16;

/**
 * Text out of bytes. A task chooses in how many chunks its output comes, a byte each if it likes; so they are gathered
 * before they become text, and decoded in pieces small enough not to hold the event loop.
 */
export class TextCollector {
  readonly #decoder = new StringDecoder('utf8');
  #text = '';
  #piece = Buffer.alloc(0);
  #length = 0;

  write(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#length === this.#piece.length) this.#makeRoom(chunk.length - at);
      const count = chunk.copy(this.#piece, this.#length, at);
      this.#length += count;
      at += count;
    }
  }

  /** All of it. Nothing can be written afterwards. */
  end(): string {
    this.#decode();
    this.#piece = Buffer.alloc(0);
    return this.#text + this.#decoder.end();
  }

  #makeRoom(wanted: number): void {
    if (this.#length === pieceBytes) return this.#decode();
    const grown = Buffer.allocUnsafeSlow(Math.min(pieceBytes, Math.max(this.#length * 2, this.#length + wanted)));
    this.#piece.copy(grown);
    this.#piece = grown;
  }

  #decode(): void {
    this.#text += this.#decoder.write(this.#piece.subarray(0, this.#length));
    this.#length = 0;
  }
}
