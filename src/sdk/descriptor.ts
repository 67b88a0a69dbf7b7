import { fstatSync, type BigIntStats } from 'node:fs';

/**
 * What a descriptor is, where it is open.
 *
 * With numbers instead of bigints Node's module loader, which looks at the result of whichever such call came last, would take each folder
 * that it knows for this pipe or socket, and follow no link below it: this package would be loaded once more, by another path.
 */
export function statOf(fd: number): BigIntStats | undefined {
  try {
    return fstatSync(fd, { bigint: true });
  } catch {
    return undefined;
  }
}
