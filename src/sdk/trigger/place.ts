import { execFile } from 'node:child_process';
import { saysNoPlace } from '../syntax.js';

/** By file: however many triggers it has, it is looked at once. */
const places = new Map<string, Promise<string | undefined>>();
const mostMs = 10_000;

/**
 * Where a file, or one that it imports, does not compile Node knows, and tells on the stderr of a process that ends by it: so one is
 * started that does, with nothing that this one has not. Code that does not compile does not run.
 *
 * @returns The error, which says in what file and line if that could be found out.
 */
export async function withPlace(error: unknown, file: string): Promise<unknown> {
  if (!saysNoPlace(error)) return error;
  const known = places.get(file) ?? placeIn(file);
  places.set(file, known);
  const place = await known;
  if (place !== undefined) error.stack = `${String(error)}\n    at ${place}`;
  return error;
}

function placeIn(file: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [file], { timeout: mostMs, killSignal: 'SIGKILL', maxBuffer: 64 << 10 }, (_error, _stdout, stderr) => {
      resolve(/^(?:file:\/\/)?(\/.+:\d+)\n[^]*^SyntaxError: /m.exec(stderr)?.[1]);
    });
    child.on('error', () => resolve(undefined));
  });
}
