import { EnforcementPartial } from '../../errors.js';
import { native, type SecretHandle } from '../../native.js';

/** How much of everything an image has room for. */
export interface Room {
  readonly values: number;
  readonly bytes: number;
  readonly nodes: number;
}

export const leastRoom: Room = { values: 4, bytes: 256, nodes: 80 };

/** What is there if that is enough, or twice as much of what is short. */
export function roomFor(needs: Room, room: Room): Room {
  const [values, bytes, nodes] = (['values', 'bytes', 'nodes'] as const).map((what) => (needs[what] <= room[what] ? room[what] : Math.max(needs[what], 2 * room[what]))) as [number, number, number];
  return values === room.values && bytes === room.bytes && nodes === room.nodes ? room : { values, bytes, nodes };
}

/** @throws {EnforcementPartial} `ERR_ENFORCEMENT_PARTIAL`: RLIMIT_MEMLOCK is spent. */
export function allocate(byteLength: number): SecretHandle {
  try {
    return native().newSecret(byteLength);
  } catch (cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException;
    if ((syscall === 'mmap' || syscall === 'mlock') && (code === 'EAGAIN' || code === 'ENOMEM' || code === 'EPERM')) {
      throw new EnforcementPartial('secrets', `no memory can be locked for what a masker looks for: it takes ${Math.ceil(byteLength / 1024)} KiB, and RLIMIT_MEMLOCK is spent`, { cause });
    }
    throw cause;
  }
}
