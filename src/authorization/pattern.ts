import type { Declares } from './identity.js';
import type { Resource } from './resource.js';

/** Whether a pattern covers a name: `*` stands for any characters, everything else for itself. Takes at most their lengths' product. */
export function covers(pattern: string, name: string): boolean {
  let [p, n] = [0, 0];
  let star = -1;
  let from = 0;
  while (n < name.length) {
    if (pattern[p] === '*') {
      star = p++;
      from = n;
    } else if (p < pattern.length && pattern[p] === name[n]) {
      p++;
      n++;
    } else if (star >= 0) {
      // What the last star stands for is one longer.
      p = star + 1;
      n = ++from;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/** Field by field, so that a dot or slash in one cannot be taken for the border to the next. */
function coversXCom(pattern: string, { dag_id, task_id, key }: Resource & { kind: 'xcom' }): boolean {
  const first = pattern.indexOf('/');
  const second = pattern.indexOf('/', first + 1);
  if (first < 0 || second < 0) return false;
  return covers(pattern.slice(0, first), dag_id) && covers(pattern.slice(first + 1, second), task_id) && covers(pattern.slice(second + 1), key);
}

/** Whether a DAG's declaration names it. Only variables, connections and XComs are declared. */
export function declared({ variables = [], connections = [], xcoms = [] }: Declares, resource: Resource & { kind: 'variable' | 'connection' | 'xcom' }): boolean {
  if (resource.kind === 'xcom') return xcoms.some((pattern) => coversXCom(pattern, resource));
  if (resource.kind === 'connection') return connections.some((pattern) => covers(pattern, resource.conn_id));
  return 'key' in resource && variables.some((pattern) => covers(pattern, resource.key));
}
