import { checkOptions, EnforcementPartial, invalidArgument, outOfRange } from '../errors.js';
import { guaranteeNames, type GuaranteeName, type Level } from '../guarantees.js';
import { probe } from '../kernel/probe.js';
import { native } from '../native.js';
import { taskGuarantees } from '../policy/enforcement.js';
import { code } from './code.js';
import { debuggerClosed } from './debugger.js';
import { environ } from './environ.js';
import { memory, secrets } from './memory.js';
import { look, report, type Finding, type HardenReport } from './report.js';
import { start } from './start.js';

export interface HardenOptions {
  /** @default 'standard' */
  readonly level?: Level;
  /** Guarantees whose absence is accepted: they are still attempted, and reported as they are. @default none */
  readonly without?: readonly GuaranteeName[];
  /** Also overwrite what /proc/<pid>/cmdline shows to every user. `process.argv` stays. @default false */
  readonly wipeArguments?: boolean;
}

/**
 * Closes this process to every other process of its user: its memory, its environment, its debugger. Call it first
 * thing, before worker threads start and before a secret is loaded. Irreversible; twice is fine.
 *
 * Afterwards this process can no longer open its own /proc/self/environ, mem, auxv and io, unless it has CAP_SYS_PTRACE.
 *
 * @returns What holds now, read back from the kernel; for the rows that a launch gives, what it will rest on here, since
 *   `launch()` sets and verifies those itself and throws where this host cannot carry them. `partial` rows say
 *   what is missing; `notes` of an `enforced` one, what the level does not promise.
 * @throws {EnforcementPartial} `ERR_ENFORCEMENT_PARTIAL` with `guarantee` and `missing`: one that the level needs does not
 *   hold and `without` does not name it. Everything that could be enforced has been; do not load a secret.
 * @throws {KernelUnsupported} `ERR_KERNEL_UNSUPPORTED`: not Linux, or no addon. Nothing was changed.
 * @see prctl(2), proc(5). Scope: process; a program that it executes starts open again.
 */
export function harden(options: HardenOptions = {}): HardenReport {
  const { level, without, wipeArguments } = checked(options);
  native();

  const findings: Finding[] = [
    // Before dumpable is cleared: an unprivileged process cannot open its own /proc/self/environ afterwards to read it back.
    look('environ', (row) => environ(row, { wipeArguments })),
    look('debugger', (row) => debuggerClosed(row, { required: !without.includes('debugger') })),
    look('memory', memory),
    // After it: whoever has our memory open now has opened it before, and nobody can add to them.
    look('start', (row) => start(row, level)),
    look('code', (row) => code(row, level)),
    look('secrets', secrets),
  ];

  for (const { guarantee, refusal, cause } of findings) {
    if (refusal !== undefined && !without.includes(guarantee.name)) throw new EnforcementPartial(guarantee.name, refusal, { cause });
  }
  return report(level, [...findings.map(({ guarantee }) => guarantee), ...taskGuarantees(probe())]);
}

function checked(options: HardenOptions): Required<HardenOptions> {
  checkOptions('options', options, ['level', 'without', 'wipeArguments']);
  const { level = 'standard', without = [], wipeArguments = false } = options;
  if (level !== 'standard' && level !== 'strict') throw outOfRange('options.level', "'standard' or 'strict'");
  if (!Array.isArray(without)) throw invalidArgument('options.without', 'an array of guarantee names', without);
  if (!without.every((name) => guaranteeNames.includes(name))) throw outOfRange('options.without', `names among ${guaranteeNames.join(', ')}`);
  if (typeof wipeArguments !== 'boolean') throw invalidArgument('options.wipeArguments', 'a boolean', wipeArguments);
  return { level, without, wipeArguments };
}
