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
}

export function healthOf(pid: number): Health | undefined {
  try {
    const read = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'latin1');
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
    };
  } catch {
    return undefined;
  }
}

/** What changed for the worse between two looks, in words; undefined when nothing did. */
export function harm(before: Health, after: Health | undefined): string | undefined {
  if (after === undefined) return 'the supervisor is dead';
  if (after.stopped) return 'the supervisor is stopped';
  if (after.limits !== before.limits) return `the supervisor's limits changed: ${changedLine(before.limits, after.limits)}`;
  if (after.scheduling !== before.scheduling) return "the supervisor's scheduling changed";
  if (after.affinity !== before.affinity) return "the supervisor's CPUs changed";
  if (after.oomScoreAdj !== before.oomScoreAdj) return "the supervisor's oom_score_adj changed";
  return undefined;
}

function changedLine(before: string, after: string): string {
  const lines = before.split('\n');
  return (after.split('\n').find((line, index) => line !== lines[index]) ?? '').trim().replace(/\s+/g, ' ');
}
