import { inspect } from 'node:util';
import { scanJson } from '../secrets/masking/json-text.js';
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
  /** The others, by name, as JSON: as they are in the file, for a number may have more digits than JavaScript's. */
  readonly fields: ReadonlyMap<string, string>;
}

export function parseEntry(line: string): Entry {
  const fields = new Map<string, string>();
  const { isWhole, hidden } = scanJson(line, { onMember: (name, _start, [at, end]) => fields.set(name, line.slice(at, end)) });
  if (!isWhole || hidden.length > 0 || !/^\s*\{/.test(line)) return { level: 'info', event: line, logger: '', timestamp: '', fields: new Map() };
  const take = (name: string, absent: string): string => {
    const value = fields.get(name);
    fields.delete(name);
    return value === undefined ? absent : textOf(value);
  };
  return { level: take('level', 'info').toLowerCase(), event: take('event', ''), logger: take('logger', ''), timestamp: take('timestamp', ''), fields };
}

/** A string's own text; anything else as it is. */
const textOf = (json: string): string => (json.startsWith('"') ? (JSON.parse(json) as string) : json);

/** Whether it is at least so important. What has no known level always is. */
export function atLeast(entry: Entry, level: (typeof levels)[number]): boolean {
  const rank = (levels as readonly string[]).indexOf(entry.level);
  return rank < 0 || rank >= levels.indexOf(level);
}

/** In these a try goes on later, and so does its file. */
const goesOn: readonly string[] = ['deferred', 'awaiting_input', 'up_for_reschedule'];

/** The supervisor's last word on a try, until another begins: its state, null when it did not run. Undefined for one that goes on later, too. */
export function stateOf({ logger, fields }: Entry): string | null | undefined {
  const state = fields.get('state');
  if (logger !== supervisorLogger || state === undefined) return undefined;
  if (state === 'null') return null;
  return goesOn.includes(textOf(state)) ? undefined : textOf(state);
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
  for (const [key, value] of fields) {
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

/** The day of an entry, in UTC, for a heading; '' when its time is none. */
export const dayOf = ({ timestamp }: Entry): string => inUtc(timestamp).slice(0, 10);
const timeOf = (timestamp: string): string => inUtc(timestamp).slice(11, 23);

/** An ISO time as `2026-01-02T03:04:05.678Z`; one without a zone is taken for UTC, as all of ours are. */
function inUtc(timestamp: string): string {
  const [, date, time, zone = 'Z'] = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2}(?:\.\d+)?)(Z|[+-]\d{2}:?\d{2})?$/.exec(timestamp) ?? [];
  const ms = Date.parse(`${date}T${time}${zone}`);
  return Number.isNaN(ms) ? '' : new Date(ms).toISOString();
}

/** An error's stack, or a text of several lines. */
function blockOf(json: string): readonly string[] | undefined {
  if (json.startsWith('"')) return json.includes('\\n') && textOf(json).includes('\n') ? textOf(json).split('\n') : undefined;
  if (!json.startsWith('{') || !json.includes('"stack"')) return undefined;
  const error: unknown = JSON.parse(json);
  return isError(error) ? linesOf(error) : undefined;
}

interface LoggedError {
  readonly stack: string;
  readonly code?: unknown;
  readonly cause?: unknown;
}

const isError = (value: unknown): value is LoggedError => typeof (value as Partial<LoggedError> | null)?.stack === 'string';

/** Its stack, with its code where the stack has none, and below it that of its cause, and so on. */
function linesOf(logged: LoggedError): string[] {
  const lines: string[] = [];
  let label = '';
  let error: unknown = logged;
  for (; isError(error); error = error.cause, label = 'cause: ') {
    const [first = '', ...frames] = error.stack.split('\n').map((line) => line.replace(/^ {2,}/, '  '));
    const code = error.code === undefined || error.code === null || first.includes(String(error.code)) ? '' : ` [${String(error.code)}]`;
    lines.push(label + first + code, ...frames);
  }
  if (error !== undefined && error !== null) lines.push(...`${label}${typeof error === 'string' ? error : inspect(error)}`.split('\n'));
  return lines;
}

/** As it was written, but for the quotes around a word that needs none. */
function word(json: string): string {
  const text = textOf(json);
  return text !== json && /^[^\s"=]+$/.test(text) ? text : json;
}
