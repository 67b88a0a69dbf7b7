import type { Result } from './queue.js';

/** What became of a workload, for a file. Without its token, and without whatever else came with it. */
export function recordOf(worker: string, workload: unknown, { outcome, startedAt, endedAt }: Result): object {
  const { ti, dag_rel_path, bundle_info } = workload as { ti: object; dag_rel_path: string; bundle_info: object };
  const { state, exit, reported, kept, error, reason } = outcome;
  return {
    ti,
    dag_rel_path,
    bundle_info,
    state,
    exit: exit.kind === 'ended' ? { kind: 'ended', violation: described(exit.violation) } : exit,
    reported,
    ...(kept === true && { kept }),
    ...(error !== undefined && { error: described(error) }),
    ...(reason !== undefined && { reason }),
    started_at: startedAt,
    ended_at: endedAt,
    worker,
  };
}

const described = (error: Error): object => ({ code: (error as NodeJS.ErrnoException).code ?? error.name, message: error.message });
