// What the facts of a host mean. Pure: the same for the same facts, so that hosts which are not at hand can be tried.

import type { GuaranteeName } from '../guarantees.js';
import { openErrata } from '../kernel/landlock.js';
import { standardLandlockAbi } from '../policy/enforcement.js';
import { knownHoles } from './doctor-holes.js';
import { check, kernelVersion, type Check, type Examined } from './doctor-row.js';
import { supervisorChecks } from './doctor-supervisor.js';

/** Every row, from what all rests on to what is only known to have been broken. */
export function checks(facts: Examined): Check[] {
  if (facts.platform !== 'linux') {
    return [check('system', 'missing', facts.platform, [], 'Sallyport protects processes on Linux alone', 'run it there, or in a container or virtual machine that is Linux')];
  }
  return [...kernelChecks(facts), ...supervisorChecks(facts), ...trialChecks(facts), ...strictChecks(facts), ...knownHoles(facts)];
}

const LANDLOCK_SINCE = 5013;

function kernelChecks(facts: Examined): Check[] {
  const { release, arch, addonProblem, probe, texts } = facts;
  const rows: Check[] = [check('kernel', 'ok', `Linux ${release}, ${arch}`, [], 'what it has is asked for below; its number decides nothing')];
  if (addonProblem !== undefined || probe === undefined) {
    rows.push(check('addon', 'missing', 'not loaded', [], addonProblem ?? 'the kernel could not be asked', 'npm rebuild sallyport, with g++, make and python3'));
    return rows;
  }
  rows.push(check('addon', 'ok', 'loaded', [], 'what is compiled fits this system'));
  if (probe.arch === 'other') rows.push(check('architecture', 'missing', arch, ['kernel', 'files', 'network'], 'the system call filter knows x86_64 and aarch64', 'use one of these'));
  rows.push(landlock(facts), ...errata(facts));

  const actions = texts['/proc/sys/kernel/seccomp/actions_avail']?.split(/\s+/);
  rows.push(
    probe.seccomp
      ? check('seccomp filters', 'ok', 'yes', ['kernel', 'files', 'network', 'interference'], 'a task makes no call that the profile leaves out')
      : check('seccomp filters', 'missing', 'no', ['kernel', 'files', 'network', 'interference'], 'no call can be refused', 'a kernel with CONFIG_SECCOMP_FILTER'),
  );
  if (actions !== undefined) {
    rows.push(
      actions.includes('user_notif')
        ? check('seccomp notify', 'ok', 'yes', ['network'], 'connections that a policy grants can be made and checked by the supervisor')
        : check('seccomp notify', 'warn', 'no', ['network'], 'a task can have no network, and no trace of refused calls', 'Linux 5.0 or newer'),
    );
  }
  rows.push(
    probe.procWhole
      ? check('/proc', 'ok', 'shows every process', ['leftovers'], 'what a task leaves behind is found')
      : check('/proc', 'missing', 'hides processes', ['leftovers'], 'what a task leaves behind could not be found', 'mount it for this PID namespace, without hidepid=2: mount -o remount,hidepid=0 /proc'),
  );
  return rows;
}

function landlock({ probe, release, texts }: Examined): Check {
  const abi = probe?.landlockAbi ?? 0;
  const all: GuaranteeName[] = ['files', 'siblings', 'signals', 'network', 'leftovers'];
  if (abi >= standardLandlockAbi) return check('Landlock', 'ok', `ABI ${abi}`, all, 'files, TCP, signals and abstract sockets end at the border of each task\'s own domain');
  if (abi > 0) return check('Landlock', 'missing', `ABI ${abi}`, all, `signals and abstract sockets are not scoped before ABI ${standardLandlockAbi}`, 'Linux 6.12 or newer; or name the guarantees that can be done without in `policy.without`');
  // securityfs is not mounted everywhere (WSL, containers): its absence says nothing.
  const lsm = texts['/sys/kernel/security/lsm'];
  const old = kernelVersion(release) < LANDLOCK_SINCE;
  const why = old ? 'this kernel is older than it' : lsm !== undefined && !lsm.split(',').includes('landlock') ? `not among the security modules that were switched on (${lsm})` : 'built without it, switched off at boot, or refused by the filter of a container';
  return check('Landlock', 'missing', 'none', all, why, old ? 'Linux 6.12 or newer' : `boot with lsm=landlock,${lsm ?? '...'}; a kernel with CONFIG_SECURITY_LANDLOCK; or a container runtime that lets landlock_* through`);
}

function errata({ probe }: Examined): Check[] {
  const { landlockAbi = 0, landlockErrata: fixed = 0 } = probe ?? {};
  if (landlockAbi === 0) return [];
  const open = openErrata({ landlockAbi, landlockErrata: fixed });
  if (open.length === 0) return [check('Landlock errata', 'ok', `0x${fixed.toString(16)}: those known are fixed`, ['files'], 'rules mean what they say')];
  if (fixed === 0) return [check('Landlock errata', 'warn', 'cannot be asked', ['files'], 'kernels before 6.15 do not say which of their bugs are fixed', 'grant no folder that whoever can mount moves about')];
  const list = open.map(({ what }) => what).join('; ');
  return [check('Landlock errata', open.some(({ widens }) => widens) ? 'warn' : 'ok', `0x${fixed.toString(16)}`, ['files'], `not fixed: ${list}`, 'a newer kernel of the same series')];
}

/** What `harden()` found that no row above says. */
function trialChecks({ guarantees = [] }: Examined): Check[] {
  return guarantees
    .filter(({ name, enforcement, notes }) => enforcement === 'unavailable' || (name === 'code' && notes.length > 0))
    .map(({ name, enforcement, missing, notes }) => check(`guarantee ${name}`, enforcement === 'unavailable' ? 'missing' : 'warn', missing[0] ?? notes[0] ?? enforcement, [name], enforcement === 'unavailable' ? 'harden() or launch() throws' : 'holds against tasks', enforcement === 'unavailable' ? 'as the rows above say, or name it in `without`' : 'install this package and its folders as root, readable to all'));
}

/** What `strict` adds, and `standard` does without. */
function strictChecks({ probe, texts, markers, uid }: Examined): Check[] {
  if (probe === undefined) return [];
  const { by, missing } = probe.namespaces ?? { by: 'none', missing: 'not tried' };
  const bears: GuaranteeName[] = ['leftovers', 'siblings', 'network'];
  const reasons = [
    ...(texts['/proc/sys/user/max_user_namespaces'] === '0' ? ['sysctl -w user.max_user_namespaces=15000'] : []),
    ...(texts['/proc/sys/kernel/unprivileged_userns_clone'] === '0' ? ['sysctl -w kernel.unprivileged_userns_clone=1'] : []),
    ...(texts['/proc/sys/kernel/apparmor_restrict_unprivileged_userns'] === '1' ? ['an AppArmor profile that allows userns to this program, or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0'] : []),
    ...(markers.some((path) => path !== '/run/systemd/system') ? ['--security-opt seccomp=unconfined --security-opt systempaths=unconfined for this container, or stay with standard'] : []),
  ];
  const namespaces =
    by === 'none'
      ? check('namespaces', 'warn', missing, bears, 'level strict is refused; standard does without them', reasons.join('; ') || 'allow user namespaces for this user, or stay with standard')
      : check('namespaces', 'ok', by === 'own' ? 'can be made, with CAP_SYS_ADMIN' : 'can be made, in a user namespace', bears, 'level strict puts each task into its own: PID, mount, IPC, network, UTS, cgroup');
  const { folder, controllers, missing: lacking } = probe.cgroups ?? { folder: '', controllers: [], missing: 'not tried' };
  const measured = 'what the kernel does not bound for a task as a whole is measured every 50 ms';
  const advice = uid === 0 ? 'version 2 with these controllers, mounted writable' : 'start the supervisor as a service with Delegate=yes, or by systemd-run --user --scope -p Delegate=yes';
  const cgroup =
    folder === '' || lacking !== ''
      ? check('cgroup', 'warn', folder === '' ? `none for tasks: ${lacking}` : `${controllers.join(' ') || 'no controllers'}; ${lacking}`, ['resources', 'leftovers'], measured, advice)
      : check('cgroup', 'ok', `one for each task: ${controllers.join(' ')}`, ['resources', 'leftovers'], 'the kernel bounds each task as a whole, and ends it at once');
  return [namespaces, cgroup];
}
