import { isMainThread } from 'node:worker_threads';
import { takeRealGroup } from '../kernel/become.js';
import { disableDumpable, isDumpable } from '../kernel/dumpable.js';
import { Secret } from '../secrets/secret.js';
import type { Row } from './report.js';

/** No process of this user can trace this one or open its memory from now on; src/harden/start.ts looks at what came before. */
export function memory(row: Row): void {
  // The change would set the flag to what fs.suid_dumpable says: before it is cleared.
  if (isMainThread) takeRealGroup();
  disableDumpable();
  if (isDumpable()) row.refuse('PR_GET_DUMPABLE is not 0');
  else row.rests('PR_GET_DUMPABLE is 0');
}

/** What a secret gets on this host: made and looked at, for a limit may be spent where the kernel has all it takes. */
export function secrets(row: Row): void {
  using probe = Secret.fromBytes(Uint8Array.of(1));
  row.rests(`${probe.protection}, guard pages, not in core dumps or fork copies`);
  if (probe.protection === 'mlock') row.lacks('memfd_secret(2) is not available: a process with CAP_SYS_PTRACE can read secrets');
}
