import { fail } from './check.js';

interface Node {
  readonly task_id: string;
  readonly upstream_task_ids: readonly string[];
}

/** Refuses tasks that wait for each other in a circle, and names one. In time that grows with tasks and edges, and without recursion. */
export function refuseCircles(path: string, tasks: readonly Node[]): void {
  const waitsFor = new Map(tasks.map(({ task_id, upstream_task_ids }) => [task_id, new Set(upstream_task_ids)]));
  const before = new Map<string, string[]>();
  for (const { task_id, upstream_task_ids } of tasks) {
    for (const up of upstream_task_ids) {
      const downstream = before.get(up);
      if (downstream === undefined) before.set(up, [task_id]);
      else downstream.push(task_id);
    }
  }
  const free = tasks.filter(({ upstream_task_ids }) => upstream_task_ids.length === 0).map(({ task_id }) => task_id);
  for (let next = free.pop(); next !== undefined; next = free.pop()) {
    waitsFor.delete(next);
    for (const down of before.get(next) ?? []) {
      const waiting = waitsFor.get(down);
      if (waiting?.delete(next) === true && waiting.size === 0) free.push(down);
    }
  }
  if (waitsFor.size > 0) fail(path, `wait for each other in a circle: ${circle(waitsFor)}`);
}

/** Follows any edge: where all have one, it leads back. */
function circle(waitsFor: ReadonlyMap<string, ReadonlySet<string>>): string {
  const way = new Set<string>();
  let [at] = waitsFor.keys();
  while (at !== undefined && !way.has(at)) {
    way.add(at);
    at = [...(waitsFor.get(at) ?? [])].find((up) => waitsFor.has(up));
  }
  const walked = [...way];
  const round = [...walked.slice(walked.indexOf(at as string)), at as string].reverse();
  return round.length > 8 ? `${round.slice(0, 7).join(' -> ')} -> ...` : round.join(' -> ');
}
