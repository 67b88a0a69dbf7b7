import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { architectures, syscallNumbers, type SyscallName } from '../lib/kernel/syscalls.js';
import { allowed, refused, seccompProfile } from '../lib/policy/seccomp-profile.js';
import { examined } from '../lib/policy/seccomp-arguments.js';
import { decide, reach } from './helpers/decide.js';
import { dockerFilter } from './helpers/docker-seccomp.js';

const profile = suite('seccomp profile');
const names = Object.keys(syscallNumbers) as SyscallName[];
const ours = seccompProfile({ fileModes: 'refused' });

/**
 * Every call that Docker's default profile lets a container without capabilities make and this one does not let a task make, with the
 * reason. A line that goes from here widens what a task can do: it needs an attack that was tried, and a row in the profile.
 */
const narrower: Record<string, readonly SyscallName[]> = {
  "another process's memory": ['ptrace', 'process_vm_readv', 'process_vm_writev', 'process_mrelease', 'get_robust_list'],
  'objects of the user, not of the task': [
    'shmget', 'shmat', 'shmctl', 'shmdt', 'semget', 'semop', 'semctl', 'semtimedop', 'msgget', 'msgsnd', 'msgrcv', 'msgctl', 'mq_open', 'mq_unlink',
    'mq_timedsend', 'mq_timedreceive', 'mq_notify', 'mq_getsetattr',
  ],
  'Landlock does not see it: attributes': [
    'setxattr', 'lsetxattr', 'fsetxattr', 'setxattrat', 'getxattr', 'lgetxattr', 'fgetxattr', 'getxattrat', 'listxattr', 'llistxattr', 'flistxattr',
    'listxattrat', 'removexattr', 'lremovexattr', 'fremovexattr', 'removexattrat',
  ],
  'Landlock does not see it: modes and owners': ['chmod', 'fchmod', 'fchmodat', 'fchmodat2', 'chown', 'fchown', 'lchown', 'fchownat', 'utime', 'utimes', 'futimesat', 'utimensat'],
  'Landlock does not see it: watching folders': ['inotify_init', 'inotify_init1', 'inotify_add_watch', 'inotify_rm_watch', 'fanotify_mark'],
  'Landlock does not see it: handles and nameless files': ['name_to_handle_at', 'memfd_create', 'memfd_secret', 'execveat'],
  'room of the whole host': ['seccomp', 'io_setup', 'io_submit', 'io_cancel', 'io_destroy', 'io_getevents', 'io_pgetevents', 'sync', 'syncfs', 'fallocate'],
  'a mode that cannot be seen': ['openat2'],
  'memory that no measure shows': ['landlock_create_ruleset', 'landlock_add_rule', 'landlock_restrict_self'],
  'what others use': ['cachestat', 'statmount', 'listmount'],
  'attack surface of the kernel': ['modify_ldt', 'set_thread_area', 'get_thread_area', 'vmsplice', 'remap_file_pages', 'adjtimex', 'clock_adjtime', 'epoll_ctl_old', 'epoll_wait_old'],
  'no network': ['socket', 'connect', 'bind', 'listen', 'accept', 'accept4'],
};

/** Calls that Docker's default allows whatever the arguments, and that have a rule of their own here. */
const byArgumentHere: readonly SyscallName[] = [
  'prlimit64', 'setrlimit', 'sched_setaffinity', 'sched_setscheduler', 'sched_setparam', 'sched_setattr', 'setpriority', 'ioprio_set', 'socketpair', 'sendto',
  'sendmsg', 'sendmmsg', 'setsockopt', 'ioctl', 'fcntl', 'prctl', 'close_range', 'madvise', 'fadvise64', 'open', 'openat', 'creat', 'mknod', 'mknodat',
];
/** Calls of which both let some arguments pass. */
const byArgumentInBoth: readonly SyscallName[] = ['clone', 'personality'];

profile('every name has one place', () => {
  const placed = [...allowed.flatMap((group) => group.names), ...refused.flatMap((group) => group.names), ...(Object.keys(examined) as SyscallName[])];
  assert.is(new Set(placed).size, placed.length);
  assert.is(ours.rules.size, names.length, 'and every call of the table an answer');
});

for (const arch of architectures) {
  const docker = dockerFilter(arch);
  const here = names.filter((name) => syscallNumbers[name][arch === 'x64' ? 0 : 1] >= 0);
  const where = (theirs: string, mine: string): SyscallName[] => here.filter((name) => reach(docker, name) === theirs && reach(ours, name) === mine).sort();
  const present = (list: readonly SyscallName[]): SyscallName[] => list.filter((name) => here.includes(name)).sort();

  profile(`${arch}: nothing is allowed that Docker's default refuses`, () => {
    assert.equal([...where('never', 'always'), ...where('never', 'by argument'), ...where('by argument', 'always')], []);
    const args = fc.array(fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.constantFrom(0n, 8n, 0x20000n, 0xffffffffn, 0x00008000n, 0x10000000n, 17n)), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(fc.constantFrom(...byArgumentInBoth), args, (name, values) => {
        if (decide(ours, name, values) === 'allow') assert.is(decide(docker, name, values), 'allow', `${name} ${values}`);
      }),
      { numRuns: 2000 },
    );
  });

  profile(`${arch}: each call that is refused beyond that is named with its reason, and no other`, () => {
    assert.equal([...where('always', 'never'), ...where('by argument', 'never')].sort(), present(Object.values(narrower).flat()));
  });

  profile(`${arch}: each call whose arguments decide is named`, () => {
    assert.equal(where('always', 'by argument'), present(byArgumentHere));
    assert.equal(where('by argument', 'by argument'), present(byArgumentInBoth));
  });

  profile(`${arch}: what Docker's default gives to a capability alone stays refused here`, () => {
    for (const capability of ['CAP_SYS_ADMIN', 'CAP_SYS_PTRACE', 'CAP_SYS_CHROOT', 'CAP_BPF', 'CAP_PERFMON', 'CAP_SYS_NICE']) {
      const more = dockerFilter(arch, [capability]);
      const gained = here.filter((name) => reach(more, name) === 'always' && reach(docker, name) === 'never');
      assert.ok(gained.length > 0 || capability === 'CAP_SYS_PTRACE', capability);
      for (const name of gained) assert.is(reach(ours, name), 'never', `${capability}: ${name}`);
    }
  });
}

profile.run();
