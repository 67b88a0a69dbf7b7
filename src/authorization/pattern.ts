import type { Declares } from './identity.js';
import type { Resource } from './resource.js';

/** Whether a pattern covers a name: `*` stands for any characters, everything else for itself. Both may be an attacker's: it takes at most a few times their lengths. */
export function covers(pattern: string, name: string): boolean {
  const first = pattern.indexOf('*');
  if (first < 0) return pattern === name;
  const last = pattern.lastIndexOf('*');
  const end = name.length - (pattern.length - last - 1);
  if (end < first || !name.startsWith(pattern.slice(0, first)) || !name.endsWith(pattern.slice(last + 1))) return false;
  let at = first;
  for (let from = first, to = 0; from < last; from = to) {
    to = pattern.indexOf('*', from + 1);
    at = endOf(pattern, from + 1, to, name, at, end);
    if (at < 0) return false;
  }
  return true;
}

/** So short that looking for it at each place costs no more than being clever. */
const short = 4;
let borders = new Uint32Array(2048);

/**
 * Where what stands from `from` to `to` in the pattern ends first between `at` and `end` of the name; -1: nowhere. `indexOf()` takes the
 * product of their lengths for some. Knuth, Morris and Pratt.
 */
function endOf(pattern: string, from: number, to: number, name: string, at: number, end: number): number {
  const length = to - from;
  if (length <= short) {
    for (; at + length <= end; at++) {
      let same = 0;
      while (same < length && pattern.charCodeAt(from + same) === name.charCodeAt(at + same)) same++;
      if (same === length) return at + length;
    }
    return -1;
  }
  if (length > end - at) return -1;
  if (length > borders.length) borders = new Uint32Array(length);
  for (let index = 1, same = 0; index < length; index++) {
    const next = pattern.charCodeAt(from + index);
    while (same > 0 && pattern.charCodeAt(from + same) !== next) same = borders[same - 1] as number;
    if (pattern.charCodeAt(from + same) === next) same++;
    borders[index] = same;
  }
  for (let same = 0; at < end; at++) {
    const next = name.charCodeAt(at);
    while (same > 0 && pattern.charCodeAt(from + same) !== next) same = borders[same - 1] as number;
    if (pattern.charCodeAt(from + same) === next) same++;
    if (same === length) return at + 1;
  }
  return -1;
}

/** Longer than any name that an API has. */
const mostName = 1500;
/** What many names at once may take of the event loop: characters to compare, some milliseconds. */
const mostCompared = 1 << 21;

/** Names and patterns, to be asked about names that a task makes up. */
export class Patterns {
  readonly #exact: ReadonlySet<string>;
  readonly #others: readonly string[];

  constructor(patterns: readonly string[]) {
    this.#exact = new Set(patterns);
    this.#others = patterns.filter((pattern) => pattern.includes('*'));
  }

  cover(name: string): boolean {
    return name.length <= mostName && (this.#exact.has(name) || this.#others.some((pattern) => covers(pattern, name)));
  }

  /** False also where it would take too long to find out. */
  coverAll(names: Iterable<string>): boolean {
    const left = [...new Set(names)].filter((name) => !this.#exact.has(name));
    const compared = left.length * this.#others.join('').length + left.join('').length * this.#others.length;
    return compared <= mostCompared && left.every((name) => this.cover(name));
  }
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
