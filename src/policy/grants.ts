import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PolicyInvalid } from '../errors.js';
import type { GuaranteeName } from '../guarantees.js';
import { absolute, type Policy } from './policy.js';

/** What a task must not be able to write, and the guarantee that would be void if it could. */
interface Guarded {
  readonly path: string;
  readonly guarantee: GuaranteeName;
  readonly what: string;
  /** Also what lies beneath it. */
  readonly deep: boolean;
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // a path that is missing is refused later, by its name
  }
}

function guarded(): readonly Guarded[] {
  const code = (path: string, what: string, deep = false): Guarded => ({ path: real(path), guarantee: 'code', what, deep });
  const script = process.argv[1];
  return [
    code(fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, ''), 'this package', true),
    code(process.execPath, 'the node binary'),
    ...(script?.startsWith('/') === true ? [code(script, "the supervisor's main script")] : []),
    { path: '/proc', guarantee: 'interference', what: 'the settings of the kernel and of every process', deep: true },
    { path: '/sys', guarantee: 'interference', what: 'the settings of the kernel and of every cgroup', deep: true },
    { path: '/dev', guarantee: 'interference', what: "the host's devices", deep: false },
  ];
}

const holds = (folder: string, path: string): boolean => folder === '/' || path === folder || path.startsWith(`${folder}/`);

/**
 * Refuses to let a task write what the supervisor runs or what rules all processes: a guarantee would be reported that
 * the policy itself voids.
 *
 * @throws {PolicyInvalid} `ERR_POLICY_INVALID` with the path of the grant, unless `policy.without` names the guarantee.
 */
export function refuseVoidingGrants(policy: Policy): void {
  if (policy.write === undefined || policy.write.length === 0) return;
  const all = guarded().filter(({ guarantee }) => policy.without?.includes(guarantee) !== true);
  policy.write.forEach((path, index) => {
    const granted = real(absolute(path));
    const voided = all.find((place) => holds(granted, place.path) || (place.deep && holds(place.path, granted)));
    if (voided === undefined) return;
    throw new PolicyInvalid(`write[${index}]`, `would let the task change ${voided.what} (${voided.path}); grant less, or name '${voided.guarantee}' in policy.without`);
  });
}
