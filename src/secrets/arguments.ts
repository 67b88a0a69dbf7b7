import { SecretRefused } from '../errors.js';
import type { Secret } from './secret.js';

/**
 * Refuses a secret that came to this process as one of its arguments, or in one: the JSON of a workload, an option's value. Every user of
 * the host reads them in /proc/PID/cmdline, whatever is hardened, and so do process listings, audit logs and pod specs.
 *
 * @throws {SecretRefused} `ERR_SECRET_REFUSED`. The secret is as it was; take it for stolen.
 */
export function refuseFromArguments(secret: Secret, args: readonly string[] = [...process.execArgv, ...process.argv]): void {
  const found = secret.use((bytes) => bytes.byteLength > 0 && args.some((argument) => Buffer.from(argument).includes(Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength))));
  if (found) throw new SecretRefused("this process's arguments", 'every user of this host can read them; revoke it, and hand the next one over by a descriptor, a file or the environment (docs/tokens.md)');
}
