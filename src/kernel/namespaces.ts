import { readFileSync } from 'node:fs';
import { native, nativeProgram } from '../native.js';
import { getCapabilities } from './capabilities.js';

/** Whether tasks can have PID, mount, IPC, network, UTS and cgroup namespaces here. Plain data. */
export interface Namespaces {
  /** `own`: made with the supervisor's CAP_SYS_ADMIN. `user`: in a user namespace. `none`: not at all. */
  readonly by: 'own' | 'user' | 'none';
  /** Why not; '' otherwise. */
  readonly missing: string;
}

/** What keeps user namespaces from those who are not root, by distribution. */
const switches: readonly (readonly [file: string, off: string])[] = [
  ['/proc/sys/user/max_user_namespaces', '0'],
  ['/proc/sys/kernel/unprivileged_userns_clone', '0'],
  ['/proc/sys/kernel/apparmor_restrict_unprivileged_userns', '1'],
];

function switchedOff(): string[] {
  return switches.flatMap(([file, off]) => {
    try {
      return readFileSync(file, 'latin1').trim() === off ? [`${file} is ${off}`] : [];
    } catch {
      return []; // this kernel has no such switch
    }
  });
}

const reasons: Readonly<Record<string, string>> = {
  namespaces: 'they may not be made (a container without CAP_SYS_ADMIN, or its seccomp filter)',
  'user-map': 'a user namespace may not be given its user',
  mounts: 'nothing may be mounted in one',
  proc: 'no /proc of its own can be mounted, as where parts of /proc are masked by a container',
};

/**
 * Makes the namespaces of a strict task in a child, once and for real, and takes them down again.
 *
 * @see namespaces(7), user_namespaces(7). Linux 5.12.
 */
export function namespaces(): Namespaces {
  const stage = nativeProgram('stage');
  const missing: string[] = [];
  for (const by of getCapabilities().effective.includes('CAP_SYS_ADMIN') ? (['own', 'user'] as const) : (['user'] as const)) {
    const refused = native().tryNamespaces(stage, by === 'user');
    if (refused === undefined) return { by, missing: '' };
    const [step, error] = refused;
    missing.push(`${by === 'user' ? 'in a user namespace' : 'with CAP_SYS_ADMIN'}: ${reasons[step] ?? `step "${step}"`} (${error.syscall ?? ''}: ${error.code ?? ''})`);
  }
  return { by: 'none', missing: [...missing, ...switchedOff()].join('; ') };
}
