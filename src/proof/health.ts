import { readFileSync } from 'node:fs';

/**
 * What the kernel says about a process that others could have changed: its limits, its
 * scheduling, whether it is stopped. Undefined when it is gone. proc(5)
 */
export interface Health {
  readonly stopped: boolean;
  readonly limits: string;
  readonly scheduling: string;
  readonly affinity: string;
  readonly oomScoreAdj: string;
  readonly coredumpFilter: string;
  /** Readable with CAP_SYS_NICE. */
  readonly timerSlack: string;
  readonly autogroup: string;
}

export function healthOf(pid: number): Health | undefined {
  try {
    const read = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'latin1');
    const readable = (name: string): string => {
      try {
        return read(name);
      } catch {
        return ''; // not on this kernel, or not for us
      }
    };
    // After the command's name in brackets: state is field 3, priority 18, nice 19, rt_priority 40, policy 41.
    const stat = read('stat');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const state = fields[0] ?? '';
    if ('ZX'.includes(state)) return undefined;
    return {
      stopped: 'Tt'.includes(state),
      limits: read('limits'),
      scheduling: [15, 16, 37, 38].map((index) => fields[index]).join(' '),
      affinity: /^Cpus_allowed:\s*(\S+)/m.exec(read('status'))?.[1] ?? '',
      oomScoreAdj: read('oom_score_adj').trim(),
      coredumpFilter: readable('coredump_filter'),
      timerSlack: readable('timerslack_ns'),
      autogroup: readable('autogroup'),
    };
  } catch {
    return undefined;
  }
}

/** What changed for the worse between two looks, in words; undefined when nothing did. */
export function harm(whose: string, before: Health, after: Health | undefined): string | undefined {
  if (after === undefined) return `${whose} is dead`;
  if (after.stopped) return `${whose} is stopped`;
  if (after.limits !== before.limits) return `the limits of ${whose} changed: ${changedLine(before.limits, after.limits)}`;
  const field = (['scheduling', 'affinity', 'oomScoreAdj', 'coredumpFilter', 'timerSlack', 'autogroup'] as const).find((name) => after[name] !== before[name]);
  return field === undefined ? undefined : `the ${field} of ${whose} changed from ${before[field].trim()} to ${after[field].trim()}`;
}

function changedLine(before: string, after: string): string {
  const lines = before.split('\n');
  return (after.split('\n').find((line, index) => line !== lines[index]) ?? '').trim().replace(/\s+/g, ' ');
}
