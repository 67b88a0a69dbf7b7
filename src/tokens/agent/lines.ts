const newline = 0x0a;

/**
 * Cuts a stream of bytes into lines, and holds no more than one of `maxBytes`. A longer one comes as undefined and is
 * thrown away up to its newline: whatever was sent before it, the line after it is read as it is.
 */
export async function* linesOf(source: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<string | undefined> {
  let parts: Buffer[] = [];
  let held = 0;
  let skipping = false;
  for await (const chunk of source) {
    for (let start = 0; start < chunk.length; ) {
      const end = chunk.indexOf(newline, start);
      const part = chunk.subarray(start, end < 0 ? chunk.length : end);
      start = end < 0 ? chunk.length : end + 1;
      held += part.length;
      if (held > maxBytes) {
        skipping = true;
        parts = [];
      }
      if (!skipping) parts.push(part);
      if (end < 0) continue;
      yield skipping ? undefined : Buffer.concat(parts).toString('utf8');
      parts = [];
      held = 0;
      skipping = false;
    }
  }
}
