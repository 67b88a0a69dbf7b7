import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { wasBornDumpable } from '../kernel/dumpable.js';
import { nativeProgram } from '../native.js';
import type { Attack, Need } from './attack.js';
import { birthUser } from './birth-user.js';
import { installed, openNode } from './locate.js';

/** A program of this host. */
export const program = (name: string): Need => () => (installed(name) === undefined ? `${name} is not installed` : undefined);

/** Capabilities, which an ordinary supervisor of root's passes on to its tasks. */
export const root: Need = () => (process.geteuid?.() === 0 ? undefined : 'works with capabilities alone');

/** A supervisor that is closed to its own user from its first instruction. */
export const closedBirth: Need = () => {
  if (process.geteuid?.() !== 0) {
    if (wasBornDumpable()) return 'takes root, for `sallyport exec --user`, or a node binary of mode 0711';
    return openNode() === undefined ? 'there is no node that can be read, to show what happens with one' : undefined;
  }
  const tried = spawnSync(nativeProgram('attack'), [], birthUser); // it says how it is used
  const read = spawnSync(process.execPath, [fileURLToPath(new URL('birth-supervisor.js', import.meta.url)), 'try'], birthUser);
  return tried.status === 2 && read.status === 0 ? undefined : `uid ${birthUser.uid} cannot run what it is tried with: node and this package are closed to it`;
};

/** Attaching to a process that is not one's child, which Yama's ptrace_scope refuses to all but an ancestor. ptrace(2) */
export const attaching: Need = () => (process.geteuid?.() === 0 || !['1', '2', '3'].includes(setting('yama/ptrace_scope')) ? undefined : 'Yama refuses it on this host');

/** Outside containers they can be had; Docker's default profile refuses them. user_namespaces(7) */
export const userNamespaces: Need = () => works('user-namespace');
export const keyrings: Need = () => works('user-key', 'none');
export const ioUring: Need = () => works('io-uring', '/dev/null');
export const perfEvents: Need = () => works('perf-event');
export const i386: Need = () => works('other-abi', '/dev/null');

/** Typing into a terminal of one's own, which newer kernels leave to CAP_SYS_ADMIN. ioctl_tty(2): TIOCSTI */
export const typing: Need = () => (process.geteuid?.() === 0 || setting('../dev/tty/legacy_tiocsti') !== '0' ? undefined : 'this kernel refuses TIOCSTI');

const tried = new Map<string, string | undefined>();

/** Tries the exploit itself, as whoever runs the proof: what the host refuses there it refuses to any task. */
function works(name: string, ...args: string[]): string | undefined {
  if (!tried.has(name)) {
    const { stdout } = spawnSync(nativeProgram('attack'), [name, String(process.pid), ...args], { encoding: 'utf8' });
    const refusal = /^refused: (.*(not permitted|not implemented|No space|denied|Bad system call|one ABI).*)$/m.exec(stdout)?.[1];
    tried.set(name, refusal === undefined ? undefined : `this host refuses it: ${refusal}`);
  }
  return tried.get(name);
}

function setting(name: string): string {
  try {
    return readFileSync(`/proc/sys/kernel/${name}`, 'latin1').trim();
  } catch {
    return ''; // a kernel without it
  }
}

/** Why an exploit cannot be shown on this host; undefined when it can. */
export function whyNot({ needs = [] }: Pick<Attack, 'needs'>): string | undefined {
  return needs.map((need) => need()).find((lack) => lack !== undefined);
}

/** A core is a file in the folder where its process ran, and no program's to take. core(5) */
export const coreIsFile: Need = () => (/^[^|/]+$/.test(setting('core_pattern')) ? undefined : 'cores go elsewhere on this host: core_pattern');

export const severalCpus: Need = () => (availableParallelism() > 1 ? undefined : 'there is one processor');

export const autogroups: Need = () => (setting('sched_autogroup_enabled') === '1' ? undefined : 'the kernel has no autogroups, or has them switched off');
