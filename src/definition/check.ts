import { DagInvalid } from '../errors.js';

/**
 * Looks at values that an author wrote, or that a hostile file made up: each function returns what it was given, typed,
 * or says where it is wrong. Nothing is called and no getter is read twice.
 */

export function fail(path: string, problem: string): never {
  throw new DagInvalid(path, problem);
}

/** An object's fields, none of them unknown: a misspelt one would silently do nothing. */
export function fields<K extends string>(path: string, value: unknown, known: readonly K[]): { [Name in K]?: unknown } {
  const found = entries(path, value, known.length);
  const unknown = found.find(([name]) => !(known as readonly string[]).includes(name))?.[0];
  if (unknown !== undefined) fail(at(path, unknown), `is not a field; there are ${known.join(', ')}`);
  return Object.fromEntries(found) as { [Name in K]?: unknown };
}

/** An object's names and values. */
export function entries(path: string, value: unknown, most: number): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(path, 'must be an object');
  const found = Object.entries(value as object).filter(([, each]) => each !== undefined);
  if (found.length > most) fail(path, `has more than ${most} entries`);
  return found;
}

export function list<T>(path: string, value: unknown, most: number, each: (path: string, value: unknown) => T): T[] {
  if (!Array.isArray(value)) fail(path, 'must be an array');
  if (value.length > most) fail(path, `has more than ${most} entries`);
  return Array.from(value as unknown[], (entry, index) => each(`${path}[${index}]`, entry));
}

/** One of each. */
export function unique(path: string, names: readonly string[]): string[] {
  const seen = new Set<string>();
  names.forEach((name, index) => (seen.has(name) ? fail(`${path}[${index}]`, 'is there twice') : seen.add(name)));
  return [...seen];
}

/** Text without control characters, which would end up on terminals, and without halves of surrogate pairs. */
export function text(path: string, value: unknown, most: number, least = 1): string {
  if (typeof value !== 'string' || value.length < least || value.length > most) fail(path, `must be text of ${least} to ${most} characters`);
  if (/[\0-\x1f\x7f-\x9f\p{Surrogate}]/u.test(value)) fail(path, 'must be text without control characters');
  return value;
}

/** Airflow's rule for keys. */
export function id(path: string, value: unknown): string {
  const found = text(path, value, 250);
  if (!/^[\p{L}\p{N}_.-]+$/u.test(found)) fail(path, "must be made of letters, digits, '_', '.' and '-'");
  return found;
}

export function whole(path: string, value: unknown, least: number, most: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) fail(path, `must be a whole number from ${least} to ${most}`);
  return value as number;
}

export function flag(path: string, value: unknown): boolean {
  if (typeof value !== 'boolean') fail(path, 'must be a boolean');
  return value;
}

export function oneOf<T extends string>(path: string, value: unknown, words: readonly T[]): T {
  if (!(words as readonly unknown[]).includes(value)) fail(path, `must be one of ${words.join(', ')}`);
  return value as T;
}

/** @returns ISO 8601, UTC. */
export function date(path: string, value: unknown): string {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? fail(path, 'is an invalid Date') : value.toISOString();
  const found = text(path, value, 64);
  // Without a zone it would be another moment on another machine.
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(found) || Number.isNaN(Date.parse(found))) {
    fail(path, "must be a Date, or ISO 8601 with a time zone, as in '2026-01-01T00:00:00Z'");
  }
  return new Date(found).toISOString();
}

/** A path below the bundle, by its text alone. */
export function fileBelow(path: string, value: unknown): string {
  const found = text(path, value, 1024).replace(/^(\.\/)+/, '');
  if (found === '' || found.startsWith('/') || found.split('/').includes('..')) fail(path, 'must be a path below the bundle');
  return found;
}

/** What JSON writes faithfully, at most 16 levels of it. */
export function json(path: string, value: unknown, depth = 16): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (depth === 0) fail(path, 'nests too deep');
  if (Array.isArray(value)) return value.map((each, index) => json(`${path}[${index}]`, each, depth - 1));
  if (typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) fail(path, 'must be JSON');
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, json(at(path, name), each, depth - 1)]));
}

/** The path of a field, whose name an author or an attacker chose. */
export function at(path: string, name: string): string {
  const shown = name.slice(0, 80).replace(/[^\p{L}\p{N}_.-]/gu, '?');
  return path === '' ? shown : `${path}.${shown}`;
}
