import { native } from '../native.js';
import { architectures, syscallNumbers, type Architecture, type SyscallName } from './syscalls.js';

/** What the kernel does with a call. `kill` ends the whole process with SIGSYS; `notify` leaves the answer to the supervisor. */
export type SeccompAction = 'allow' | 'kill' | 'notify' | { readonly errno: number };

/**
 * A test of one argument. `int` looks at the low 32 bits alone, as the kernel does where the
 * parameter is an int: the high bits are the caller's to fill with anything.
 */
export interface ArgumentTest {
  readonly argument: 0 | 1 | 2 | 3 | 4 | 5;
  readonly type: 'int' | 'pointer';
  /** Bits to look at; `int` only. @default all 32 */
  readonly mask?: number;
  readonly equals: number;
}

/** One row of a filter: the first clause whose tests all hold decides, else `action`. */
export interface SyscallRule {
  readonly clauses?: readonly { readonly tests: readonly ArgumentTest[]; readonly action: SeccompAction }[];
  readonly action: SeccompAction;
}

/** A whole filter: what each call gets, and what any call gets that this table has no name for. */
export interface SeccompFilter {
  readonly rules: ReadonlyMap<SyscallName, SyscallRule>;
  readonly defaultAction: SeccompAction;
}

/** Whether this kernel takes seccomp filters. Installs none. */
export function seccompAvailable(): boolean {
  return native().seccompAvailable();
}

interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

// linux/filter.h, linux/bpf_common.h
const LD_W_ABS = 0x20;
const JMP_JEQ_K = 0x15;
const JMP_JGE_K = 0x35;
const JMP_JA = 0x05;
const ALU_AND_K = 0x54;
const RET_K = 0x06;

// struct seccomp_data: int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]; both architectures are little-endian.
const OFFSET_NR = 0;
const OFFSET_ARCH = 4;
const OFFSET_ARGS = 16;

const AUDIT_ARCH: Record<Architecture, number> = { x64: 0xc000003e, arm64: 0xc00000b7 };
/** x32 programs use the x86_64 architecture with this bit in the call's number. */
const X32_SYSCALL_BIT = 0x40000000;

const statement = (code: number, k: number): Instruction => ({ code, jt: 0, jf: 0, k: k >>> 0 });
const jump = (code: number, k: number, jt: number, jf: number): Instruction => ({ code, jt, jf, k: k >>> 0 });

function ret(action: SeccompAction): Instruction {
  if (action === 'allow') return statement(RET_K, 0x7fff0000);
  if (action === 'kill') return statement(RET_K, 0x80000000);
  if (action === 'notify') return statement(RET_K, 0x7fc00000);
  return statement(RET_K, 0x00050000 | action.errno);
}

/** Runs `then` when the test holds, else goes on behind it. */
function when(test: ArgumentTest, then: readonly Instruction[]): Instruction[] {
  const low = OFFSET_ARGS + 8 * test.argument;
  const skip = then.length;
  if (test.type === 'int') {
    const mask = test.mask === undefined ? [] : [statement(ALU_AND_K, test.mask)];
    return [statement(LD_W_ABS, low), ...mask, jump(JMP_JEQ_K, test.equals, 0, skip), ...then];
  }
  return [
    statement(LD_W_ABS, low),
    jump(JMP_JEQ_K, test.equals, 0, skip + 2),
    statement(LD_W_ABS, low + 4),
    jump(JMP_JEQ_K, 0, 0, skip),
    ...then,
  ];
}

function body(rule: SyscallRule): Instruction[] {
  const clauses = (rule.clauses ?? []).flatMap(({ tests, action }) =>
    tests.reduceRight<Instruction[]>((then, test) => when(test, then), [ret(action)]),
  );
  return [...clauses, ret(rule.action)];
}

/** A run of call numbers, `from` to the next range's `from`, that get the same answer. */
interface Range {
  readonly from: number;
  readonly code: readonly Instruction[];
}

function ranges(filter: SeccompFilter, arch: Architecture): Range[] {
  const column = architectures.indexOf(arch);
  const byNumber = new Map<number, readonly Instruction[]>();
  for (const [name, rule] of filter.rules) {
    const number = syscallNumbers[name][column];
    if (number !== undefined && number >= 0) byNumber.set(number, body(rule));
  }
  const unknown = [ret(filter.defaultAction)];
  const found: Range[] = [];
  const last = Math.max(...byNumber.keys());
  for (let number = 0; number <= last + 1; number++) {
    const code = byNumber.get(number) ?? unknown;
    const previous = found.at(-1);
    if (previous === undefined || JSON.stringify(previous.code) !== JSON.stringify(code)) found.push({ from: number, code });
  }
  return found;
}

/** A binary search for the call's number, which is in the accumulator. A linear list costs a third more to install. */
function search(list: readonly Range[]): readonly Instruction[] {
  const first = list[0];
  if (first === undefined) return [];
  if (list.length === 1) return first.code;
  const middle = list.length >> 1;
  const below = search(list.slice(0, middle));
  const above = search(list.slice(middle));
  const pivot = list[middle]?.from ?? 0;
  // A conditional jump reaches 255 instructions, an unconditional one any number.
  if (below.length <= 255) return [jump(JMP_JGE_K, pivot, below.length, 0), ...below, ...above];
  return [jump(JMP_JGE_K, pivot, 0, 1), statement(JMP_JA, below.length), ...below, ...above];
}

/**
 * Compiles a filter to the classic BPF program that seccomp(2) takes: `struct sock_filter`s,
 * 8 bytes each. Checks the architecture first; calls of another one, and of x32, end the process.
 * Pure.
 */
export function compileSeccomp(filter: SeccompFilter, arch: Architecture): Uint8Array {
  const kill = ret('kill');
  const program = [
    statement(LD_W_ABS, OFFSET_ARCH),
    jump(JMP_JEQ_K, AUDIT_ARCH[arch], 1, 0),
    kill,
    statement(LD_W_ABS, OFFSET_NR),
    ...(arch === 'x64' ? [jump(JMP_JGE_K, X32_SYSCALL_BIT, 0, 1), kill] : []),
    ...search(ranges(filter, arch)),
  ];
  const bytes = new DataView(new ArrayBuffer(program.length * 8));
  program.forEach(({ code, jt, jf, k }, index) => {
    bytes.setUint16(index * 8, code, true);
    bytes.setUint8(index * 8 + 2, jt);
    bytes.setUint8(index * 8 + 3, jf);
    bytes.setUint32(index * 8 + 4, k, true);
  });
  return new Uint8Array(bytes.buffer);
}
