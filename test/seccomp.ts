import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compileSeccomp, type SeccompFilter } from '../lib/kernel/seccomp.js';
import { syscallNumbers, type Architecture, type SyscallName } from '../lib/kernel/syscalls.js';
import { policies } from '../lib/index.js';
import { seccompProfile } from '../lib/policy/seccomp-profile.js';
import { compile } from './helpers/compile.js';
import { decide } from './helpers/decide.js';
import { runTask } from './helpers/run-task.js';

const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 };

/** What the kernel would do, by running the program as it does: a second reading of the same bytes. */
function interpret(program: Uint8Array, nr: number, arch: number, args: readonly bigint[] = []): string {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, nr >>> 0, true);
  data.setUint32(4, arch >>> 0, true);
  args.forEach((value, index) => data.setBigUint64(16 + 8 * index, BigInt.asUintN(64, value), true));
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let accumulator = 0;
  for (let pc = 0, steps = 0; steps < 4096; steps++, pc++) {
    const [op, jt, jf, k] = [code.getUint16(pc * 8, true), code.getUint8(pc * 8 + 2), code.getUint8(pc * 8 + 3), code.getUint32(pc * 8 + 4, true)];
    if (op === 0x20) accumulator = data.getUint32(k, true);
    else if (op === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (op === 0x15) pc += accumulator === k ? jt : jf;
    else if (op === 0x35) pc += accumulator >= k ? jt : jf;
    else if (op === 0x05) pc += k;
    else if (op === 0x06) return k === 0x7fff0000 ? 'allow' : k === 0x80000000 ? 'kill' : `errno ${k & 0xffff}`;
    else throw new Error(`unknown instruction ${op}`);
  }
  throw new Error('does not end');
}

const seccomp = suite('seccomp');
const names = Object.keys(syscallNumbers) as SyscallName[];

for (const arch of ['x64', 'arm64'] as const satisfies readonly Architecture[]) {
  const filter = seccompProfile({ fileModes: 'refused' });
  const program = compileSeccomp(filter, arch);
  const column = arch === 'x64' ? 0 : 1;

  seccomp(`${arch}: fits the kernel's limit of 4096 instructions`, () => {
    assert.ok(program.length / 8 < 4096, `${program.length / 8}`);
  });

  seccomp(`${arch}: the compiled program decides as the table says, whatever the arguments`, () => {
    const interesting = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.constantFrom(0n, 1n, 2n, 8n, 10n, 15n, 35n, 0x5412n, 2n ** 32n, 2n ** 32n + 15n, 0x10000000n, 0x20000000n, 0xffffffffn));
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.array(interesting, { minLength: 6, maxLength: 6 }), (name, args) => {
        const number = syscallNumbers[name][column];
        if (number >= 0) assert.is(interpret(program, number, AUDIT_ARCH[arch], args), decide(filter, name, args), `${name} ${args}`);
      }),
      { numRuns: 5000 },
    );
    for (const name of names) {
      const number = syscallNumbers[name][column];
      if (number >= 0) assert.is(interpret(program, number, AUDIT_ARCH[arch], [0n, 0n, 0n]), decide(filter, name, [0n, 0n, 0n]), name);
    }
  });

  seccomp(`${arch}: another architecture's calls end the process, a call without a name answers ENOSYS`, () => {
    for (const other of [0x40000003, 0x40000028, 0xc000003e, 0xc00000b7, 0].filter((value) => value !== AUDIT_ARCH[arch])) {
      assert.is(interpret(program, 0, other), 'kill');
    }
    for (const number of [470, 500, 1000, 0x3fffffff]) assert.is(interpret(program, number, AUDIT_ARCH[arch]), 'errno 38');
    if (arch === 'x64') for (const number of [0x40000000, 0x40000001, 0x40000208, 0xffffffff]) assert.is(interpret(program, number, AUDIT_ARCH[arch]), 'kill');
  });
}

seccomp('a filter with one rule and one with long bodies compile', () => {
  const long = { clauses: Array.from({ length: 200 }, (_, index) => ({ tests: [{ argument: 0 as const, type: 'int' as const, equals: index }], action: { errno: index } })), action: 'allow' as const };
  const filter: SeccompFilter = { rules: new Map<SyscallName, typeof long>([['read', long], ['write', long], ['close', long], ['openat', long]]), defaultAction: 'kill' };
  const program = compileSeccomp(filter, 'x64');
  assert.is(interpret(program, 257, AUDIT_ARCH.x64, [199n]), 'errno 199');
  assert.is(interpret(program, 0, AUDIT_ARCH.x64, [3n]), 'errno 3');
  assert.is(interpret(program, 2, AUDIT_ARCH.x64), 'kill');
});

// --- the running kernel: each row is allowed in a plain launch and refused in a locked one

const [EPERM, EACCES, ENOSYS, EFAULT, EBADF, EINVAL, ESRCH, ENOTDIR, ENOTTY] = [-1, -13, -38, -14, -9, -22, -3, -20, -25];
const bad = -1; // an address that is never mapped
const number = (name: SyscallName): number => syscallNumbers[name][process.arch === 'x64' ? 0 : 1];

/** name, arguments, what the open kernel answers to these bad arguments, what the filter answers. */
const table: [SyscallName, (number | string)[], number[], number][] = [
  ['ptrace', [0x4206, 0x7fffffff, 0, 0], [ESRCH], EPERM],
  ['process_vm_readv', [0x7fffffff, bad, 1, bad, 1, 0], [ESRCH, EFAULT], EPERM],
  ['process_vm_writev', [0x7fffffff, bad, 1, bad, 1, 0], [ESRCH, EFAULT], EPERM],
  ['pidfd_getfd', [-1, 0, 0], [EBADF], EPERM],
  ['kcmp', [0x7fffffff, 0x7fffffff, 0, 0, 0], [ESRCH], EPERM],
  ['prlimit64', [1, 7, 0, bad], [EFAULT, EPERM], EPERM],
  ['sched_setaffinity', [0x7fffffff, 8, bad], [EFAULT, ESRCH], EPERM],
  ['setpriority', [2, 0, 0], [0], EPERM],
  ['ioprio_set', [3, 0x7fffffff, 0], [ESRCH, EINVAL], EPERM],
  ['io_uring_setup', [1, bad], [EFAULT], ENOSYS],
  ['keyctl', [0, -3, 0], [], EPERM],
  ['add_key', [bad, bad, 0, 0, 0], [EFAULT], EPERM],
  ['unshare', [0x10000000], [0], EPERM],
  ['setns', [-1, 0], [EBADF], EPERM],
  ['clone', ['0x10000011', 0, 0, 0, 0], [], EPERM],
  ['clone3', [bad, 88], [EFAULT], ENOSYS],
  ['socket', [1, 1, 0], [], EACCES],
  ['socket', [2, 1, 262], [], EACCES],
  ['socket', [16, 3, 0], [], EACCES],
  ['socketpair', [1, 2, 0, bad], [EFAULT], EPERM],
  ['socketpair', [1, 3, 0, bad], [EFAULT], EPERM],
  ['socketpair', [1, '0x100000002', 0, bad], [EFAULT], EPERM],
  ['connect', [0, bad, 110], [], EACCES],
  ['bind', [0, bad, 110], [], EACCES],
  ['inotify_init1', [0], [], EPERM],
  ['getxattr', [bad, bad, 0, 0], [EFAULT], -95],
  ['setxattr', [bad, bad, bad, 0, 0], [EFAULT, -95], -95],
  ['ioctl', [0, 0x40086602, bad], [], EPERM],
  ['ioctl', [0, '0xff401c5820', bad], [], EPERM],
  ['ioctl', [0, 0x5412, bad], [], EPERM],
  ['ioctl', [0, '0x100005412', bad], [], EPERM],
  ['fcntl', [0, 8, 0], [0], EPERM],
  ['personality', [0x0008], [0], EPERM],
  ['memfd_create', [bad, 0], [EFAULT], ENOSYS],
  ['execveat', [-1, bad, 0, 0, '0x1000'], [EFAULT], ENOSYS],
  ['shmget', [0, 4096, '0o600'.replace('0o', '0')], [], EPERM],
  ['userfaultfd', [-1], [EINVAL, EPERM], EPERM],
  ['bpf', [0, bad, 0], [EPERM, EFAULT, EINVAL], EPERM],
  ['perf_event_open', [bad, 0, -1, -1, 0], [EFAULT], EPERM],
  ['fchmodat', [-100, bad, 0], [EFAULT], EPERM],
  ['fchownat', [-100, bad, 0, 0, 0], [EFAULT], EPERM],
  ['utimensat', [-100, bad, 0, 0], [EFAULT], EPERM],
  ['mount', [bad, bad, bad, 0, 0], [EFAULT, EPERM], EPERM],
  ['open_by_handle_at', [-1, bad, 0], [EFAULT, EPERM, EBADF], EPERM],
  ['prctl', [1, 0, 0, 0, 0], [0], EPERM],
  ['prctl', [1, 15, 0, 0, 0], [0], EPERM],
  ['prctl', [22, 2, bad, 0, 0], [EFAULT], EINVAL],
  ['prctl', ['0x100000016', 2, bad, 0, 0], [EFAULT], EINVAL],
  ['seccomp', [1, 0, bad], [EFAULT], ENOSYS],
  ['setsockopt', [-1, 1, 26, bad, 16], [EBADF], EPERM],
  ['setsockopt', [-1, '0x100000001', '0x100000033', bad, 16], [EBADF], EPERM],
  ['madvise', [0, 0, 12], [0], EINVAL],
  ['madvise', [0, 0, 21], [0], EINVAL],
  ['fadvise64', [-1, 0, 0, 4], [EBADF], 0],
  ['io_setup', [1, bad], [EFAULT], ENOSYS],
  ['landlock_create_ruleset', [bad, 24, 0], [EFAULT], ENOSYS],
  ['landlock_restrict_self', [-1, 0], [EBADF, EPERM], ENOSYS],
  ['vmsplice', [-1, bad, 1, 0], [EBADF], EPERM],
  ['syncfs', [-1], [EBADF], EPERM],
  ['cachestat', [-1, bad, bad, 0], [EFAULT, EBADF, ENOSYS], ENOSYS],
  ['modify_ldt', [0, bad, 0], [0, ENOSYS], EPERM],
  ['remap_file_pages', [0, 0, 0, 0, 0], [EINVAL], EPERM],
  ['get_robust_list', [0, bad, bad], [EFAULT], EPERM],
  ['adjtimex', [bad], [EFAULT], EPERM],
  ['inotify_rm_watch', [-1, 0], [EBADF], EPERM],
  ['fcntl', [0, 1026, 4], [ENOTDIR], EPERM],
  ['fcntl', [0, '0x10000040f', bad], [EFAULT, EBADF, EINVAL], EPERM],
  ['fcntl', [0, 1036, bad], [], EPERM],
  ['ioctl', [-1, 0x4008941a, bad], [EBADF], EPERM],
  ['ioctl', [-1, 0x8907, bad], [EBADF], EPERM],
];

seccomp('calls that the profile refuses are refused by this kernel, and would work without it', async () => {
  const program = compile('try-syscall');
  const words = table.filter(([name]) => number(name) >= 0).map(([name, args]) => [number(name), ...args].join(' '));
  const open = await runTask([program, ...words], { policy: { dangerouslyUnconfined: true } });
  const locked = await runTask([program, ...words], { policy: policies.command({ fileModes: 'refused' }) });
  const seen = (output: string): number[] => output.trim().split('\n').map(Number);
  const before = seen(open.stdout);
  const after = seen(locked.stdout);
  table.filter(([name]) => number(name) >= 0).forEach(([name, args, expected, refused], index) => {
    const control = before[index] ?? NaN;
    if (expected.length > 0) assert.ok(expected.includes(control), `control: ${name}(${args}) answered ${control}`);
    assert.is(after[index], refused, `${name}(${args})`);
  });
});

seccomp("a program's own limits, priority and affinity stay its own to change", async () => {
  const program = compile('try-syscall');
  const own = [
    [number('ioctl'), 0, 0x5401, bad], [number('ioctl'), -1, 0x541b, bad], [number('fcntl'), -1, 3, 0], [number('fcntl'), -1, 6, bad], [number('prctl'), 15, bad, 0, 0, 0],
    [number('madvise'), 0, 0, 4], [number('fadvise64'), -1, 0, 0, 2], [number('timer_create'), 1, bad, bad], [number('setsockopt'), -1, 1, 2, bad, 4],
    [number('socketpair'), 1, 1, 0, bad], [number('socketpair'), 1, '0x80801', 0, bad], [number('prlimit64'), 0, 7, 0, 0], [number('setpriority'), 0, 0, 1], [number('sched_setaffinity'), 0, 0, 0], [number('personality'), '0xffffffff'], [number('prctl'), 39, 0, 0, 0, 0],
  ];
  const { stdout } = await runTask([program, ...own.map((call) => call.join(' '))], { policy: policies.command() });
  // sched_setaffinity with no room for a mask is EINVAL of the kernel's own, not the filter's EPERM.
  assert.equal(stdout.trim().split('\n').map(Number), [ENOTTY, EBADF, EBADF, EBADF, EFAULT, 0, EBADF, EFAULT, EBADF, EFAULT, EFAULT, 0, 0, EINVAL, 0, 1]);
});

seccomp('a task cannot make children of its supervisor, which would never be waited for', async () => {
  const program = compile('clone-parent');
  const open = await runTask([program], { policy: { dangerouslyUnconfined: true } });
  assert.is(open.stdout, `child of ${process.pid}\n`, 'control');
  const locked = await runTask([program], { policy: policies.command() });
  assert.is(locked.stdout, 'errno 1\n');
});

if (process.arch === 'x64') {
  seccomp('a call of the i386 ABI ends the process', async () => {
    const program = compile('int80');
    const open = await runTask([program], { policy: { dangerouslyUnconfined: true } });
    assert.match(open.stdout, /^pid/);
    const locked = await runTask([program], { policy: policies.command() });
    assert.equal(locked.exit, { kind: 'signaled', signal: 'SIGSYS' });
  });
}

seccomp.run();
