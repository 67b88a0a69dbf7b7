import { fail, fields, text, whole } from './check.js';
import { assets, type Asset } from './assets.js';

/** When a DAG runs. */
export type Schedule =
  | { readonly type: 'none' }
  /** Five fields, or one of the names that Airflow knows for them. */
  | { readonly type: 'cron'; readonly expression: string }
  | { readonly type: 'delta'; readonly seconds: number }
  /** When all of them were updated since its last run. */
  | { readonly type: 'assets'; readonly assets: readonly Asset[] };

/** Airflow's names. `@once` and `@continuous` have no times. */
const presets = ['@once', '@continuous', '@hourly', '@daily', '@weekly', '@monthly', '@quarterly', '@yearly', '@annually', '@midnight'];

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const cronFields: readonly (readonly [name: string, least: number, most: number, words?: readonly string[]])[] = [
  ['minute', 0, 59],
  ['hour', 0, 23],
  ['day of the month', 1, 31],
  ['month', 1, 12, months],
  ['day of the week', 0, 7, days],
];

export function schedule(path: string, value: unknown): Schedule {
  if (value === null || value === undefined) return { type: 'none' };
  if (typeof value === 'string') return { type: 'cron', expression: cron(path, text(path, value, 256)) };
  const { every_seconds, assets: awaited } = fields(path, value, ['every_seconds', 'assets']);
  if ((every_seconds === undefined) === (awaited === undefined)) fail(path, 'must have either every_seconds or assets');
  if (every_seconds !== undefined) return { type: 'delta', seconds: whole(`${path}.every_seconds`, every_seconds, 1, 2 ** 31 - 1) };
  const found = assets(`${path}.assets`, awaited);
  return found.length === 0 ? fail(`${path}.assets`, 'must name an asset') : { type: 'assets', assets: found };
}

/** crontab(5), with `L` and `#` left out. */
function cron(path: string, value: string): string {
  if (value.startsWith('@')) return presets.includes(value) ? value : fail(path, `must be one of ${presets.join(', ')}, or five fields of cron`);
  const parts = value.trim().split(/\s+/);
  if (parts.length !== cronFields.length) fail(path, 'must be five fields of cron: minute, hour, day of the month, month, day of the week');
  cronFields.forEach(([name, least, most, words], index) => {
    const number = (word: string): number => {
      const named = words?.indexOf(word.toLowerCase()) ?? -1;
      return named >= 0 ? named + least : /^\d{1,2}$/.test(word) ? Number(word) : NaN;
    };
    const fits = (part: string): boolean => {
      const [, range = '', step] = /^([^/]+)(?:\/(\d{1,2}))?$/.exec(part) ?? [];
      if (range === '' || step === '0' || step === '00') return false;
      if (range === '*') return true;
      const [from = NaN, to = from, more] = range.split('-').map(number);
      return more === undefined && from >= least && from <= to && to <= most;
    };
    if (!(parts[index] as string).split(',').every(fits)) fail(path, `has a ${name} that is none: ${least} to ${most}, lists, ranges and steps`);
  });
  return parts.join(' ');
}
