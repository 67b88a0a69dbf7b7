import { supervisorLogger } from '../supervisor/logs/record.js';
import { pad, type Paint, type Style } from './table.js';
import { visible } from './visible.js';

/** As Airflow and Python rank them. */
export const levels = ['debug', 'info', 'warning', 'error', 'critical'] as const;

/** One line of a log file, as far as it is what our logs are made of; what is not is all `event`. */
export interface Entry {
  readonly level: string;
  readonly event: string;
  readonly logger: string;
  readonly timestamp: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export function parseEntry(line: string): Entry {
  try {
    const record: unknown = JSON.parse(line);
    if (typeof record === 'object' && record !== null && !Array.isArray(record)) {
      const { level, event, logger, timestamp, ...fields } = record as Record<string, unknown>;
      return { level: text(level, 'info').toLowerCase(), event: text(event, ''), logger: text(logger, ''), timestamp: text(timestamp, ''), fields };
    }
  } catch {
    // Of a program that writes no JSON.
  }
  return { level: 'info', event: line, logger: '', timestamp: '', fields: {} };
}

const text = (value: unknown, absent: string): string => (typeof value === 'string' ? value : value === undefined ? absent : JSON.stringify(value));

/** Whether it is at least so important. What has no known level always is. */
export function atLeast(entry: Entry, level: (typeof levels)[number]): boolean {
  const rank = (levels as readonly string[]).indexOf(entry.level);
  return rank < 0 || rank >= levels.indexOf(level);
}

/** The supervisor's last word on a try, until another begins: its state, null when it did not run. */
export function stateOf({ logger, fields }: Entry): string | null | undefined {
  const { state } = fields;
  return logger === supervisorLogger && (typeof state === 'string' || state === null) ? state : undefined;
}

const styles: Readonly<Record<string, Style>> = { debug: 'dim', warning: 'yellow', error: 'red', critical: 'red' };
const indent = ' '.repeat(21);

/** One entry as lines for a person: when, what kind, what, and the fields; what has lines of its own goes below. */
export function renderEntry({ level, event, logger, timestamp, fields }: Entry, paint: Paint): string {
  const [first = '', ...more] = event.split('\n');
  const own = logger === supervisorLogger;
  const printed = logger === 'task.stdout' ? 'out' : logger === 'task.stderr' ? 'err' : undefined;
  const kind = printed ?? (own ? 'note' : kindOf(level));
  const label = printed === 'out' ? 'dim' : own ? 'cyan' : (styles[level] ?? 'green');
  const words = printed !== undefined ? undefined : (styles[level] ?? (own ? 'cyan' : undefined));
  const pairs: string[] = [];
  const below = more.map(visible);
  for (const [key, value] of Object.entries(fields)) {
    const block = blockOf(value);
    if (block === undefined) pairs.push(`${paint('dim', `${visible(key)}=`)}${visible(word(value))}`);
    else below.push(`${visible(key)}:`, ...block.map((line) => `  ${visible(line)}`));
  }
  const head = `${paint('dim', pad(timeOf(timestamp), 12))} ${pad(paint(label, kind), 7)} ${words === undefined ? visible(first) : paint(words, visible(first))}`;
  const line = [head, ...pairs].join('  ');
  return [line.trimEnd(), ...below.map((each) => `${indent}${paint('dim', each)}`)].join('\n');
}

/** What a task calls a line, unless that is what we call one of ours or of another source, or looks like it. */
const kindOf = (level: string): string => (/^[a-z\d]+$/.test(level) && !['note', 'out', 'err'].includes(level) ? level.slice(0, 8) : 'other');

/** The day of an ISO time, for a heading; '' when it has none. */
export const dayOf = ({ timestamp }: Entry): string => /^\d{4}-\d{2}-\d{2}/.exec(timestamp)?.[0] ?? '';
const timeOf = (timestamp: string): string => /T(\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?)/.exec(timestamp)?.[1] ?? '';

/** An error's stack, or a text of several lines. */
function blockOf(value: unknown): readonly string[] | undefined {
  if (typeof value === 'string') return value.includes('\n') ? value.split('\n') : undefined;
  const { stack } = (value ?? {}) as { stack?: unknown };
  return typeof stack === 'string' ? stack.split('\n').map((line) => line.replace(/^ {2,}/, '  ')) : undefined;
}

function word(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value) ?? 'undefined';
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
