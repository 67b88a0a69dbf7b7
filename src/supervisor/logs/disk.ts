/**
 * Writing to a disk that hangs holds a thread of libuv's pool, of which there are four, for as long as it hangs; and
 * name lookups and every other file wait for one. So all logs together never have more than two.
 */
const most = 2;

let busy = 0;
const waiting: (() => void)[] = [];

/** Does some work on the disk when there is room for it. Rejects with what it throws. */
export async function onDisk<T>(work: () => Promise<T>): Promise<T> {
  if (busy === most) await new Promise<void>((resolve) => waiting.push(resolve));
  else busy++;
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next === undefined) busy--;
    else next();
  }
}
