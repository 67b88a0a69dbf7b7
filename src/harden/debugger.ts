import { EnforcementPartial } from '../errors.js';
import { getRlimit, setRlimit } from '../kernel/rlimit.js';
import { ignoreSignal, signalDisposition } from '../kernel/signals.js';
import { nodeOptions } from './options.js';
import type { Row } from './report.js';

/** Options that open the inspector or write memory to a file. */
const dangerousOptions = [
  /^--inspect(-|$)/, /^--debug(-|$)/, /^--report-(on-|uncaught-)/, /^--experimental-report$/, /^--heapsnapshot-/,
  /^--abort-on-uncaught-exception$/, /^--cpu-prof(-|$)/, /^--heap-prof(-|$)/, /^--prof(-|$)/, /^--perf-prof(-|$)/,
];

// When an inspector that a signal asked for before we ignored it would have come up.
const lateLooksMs = [0, 20, 100, 500, 2_000, 5_000];
let late: NodeJS.Timeout[] | undefined;

/** Neither a signal nor an option opens the inspector, or has a report, heap snapshot or core written. */
export function debuggerClosed(row: Row, options: { readonly required: boolean }): void {
  // Natively: a JavaScript listener leaves the time before its registration, and its removal
  // brings back the default.
  ignoreSignal('SIGUSR1');
  if (signalDisposition('SIGUSR1') === 'ignore') row.rests('SIGUSR1 is ignored by the kernel');
  else row.refuse('SIGUSR1 could not be ignored');

  closeReports(row);

  for (const { name } of nodeOptions()) {
    if (dangerousOptions.some((dangerous) => dangerous.test(name))) row.refuse(`Node was started with ${name}`);
  }

  if (inspectorUrl() !== undefined) row.refuse('the inspector is open');
  else row.rests('the inspector is closed');
  if (options.required) lookAgainLater();

  setRlimit('core', { soft: 0, hard: 0 });
  const core = getRlimit('core');
  if (core.soft === 0 && core.hard === 0) row.rests('RLIMIT_CORE is 0');
  else row.refuse('RLIMIT_CORE is not 0');
}

/** A diagnostic report holds the environment. */
function closeReports(row: Row): void {
  const { report } = process;
  if (report !== undefined) {
    report.reportOnSignal = report.reportOnFatalError = report.reportOnUncaughtException = false;
    if (report.reportOnSignal || report.reportOnFatalError || report.reportOnUncaughtException) row.refuse('diagnostic reports could not be switched off');
  }
  // A listener of the supervisor's own is left to do its work.
  if (signalDisposition('SIGUSR2') !== 'handler') ignoreSignal('SIGUSR2');
  row.rests(`no signal writes a report (SIGUSR2: ${signalDisposition('SIGUSR2')})`);
}

function inspectorUrl(): string | undefined {
  // Absent from a Node that was built without it.
  return process.features.inspector ? process.getBuiltinModule('node:inspector').url() : undefined;
}

/**
 * A SIGUSR1 that came before we ignored it has woken a thread of Node's, which opens the inspector at some later turn
 * of the event loop. Nothing can call it back, so we look again; what it finds cannot be repaired and ends the process.
 */
function lookAgainLater(): void {
  late ??= lateLooksMs.map((delay) =>
    setTimeout(() => {
      if (inspectorUrl() === undefined) return;
      process.getBuiltinModule('node:inspector').close();
      throw new EnforcementPartial('debugger', 'the inspector was opened while this process was being hardened');
    }, delay).unref(),
  );
}
