import { scanJson } from '../../secrets/masking/json-text.js';
import type { LogLine } from '../lines.js';

/** Lines of the supervisor's own have this logger, and no task's can. */
export const supervisorLogger = 'supervisor';

/** As Airflow has them: what a program prints is information, and what it complains of an error. */
const plain = {
  stdout: { level: 'info', logger: 'task.stdout' },
  stderr: { level: 'error', logger: 'task.stderr' },
  log: { level: 'info', logger: 'task' },
} as const;

/** DEL, C1, what turns a line around and what ends one in some programs: JSON leaves them as they are, and who prints the file would have a terminal obey them. */
const harmful = /[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
const everyHarmful = new RegExp(harmful, 'g');
const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** JSON that a terminal obeys nothing of. */
export const harmless = (text: string): string => (harmful.test(text) ? text.replaceAll(everyHarmful, escaped) : text);

const json = (value: unknown): string => harmless(JSON.stringify(value));

/** The same text for all lines of one millisecond: making it takes longer than all else here. */
let lastMs = 0;
let lastText = '';
function timestampNow(): string {
  const now = Date.now();
  if (now !== lastMs) [lastMs, lastText] = [now, new Date(now).toISOString()];
  return lastText;
}

/** What is the same in every plain line of one source. */
const heads = { stdout: fieldsOf(plain.stdout), stderr: fieldsOf(plain.stderr), log: fieldsOf(plain.log) };
function fieldsOf(fields: object): string {
  return JSON.stringify(fields).slice(1, -1);
}

/**
 * A task's line as one JSON object with `timestamp`, `level`, `event` and `logger`. A JSON object from descriptor 3 keeps its
 * fields, with what these four lack filled in; anything else is the `event`, whatever it looks like.
 */
export function taskRecord({ source, line, cut }: LogLine, timestamp = timestampNow()): string {
  const own = source === 'log' && !cut ? structured(line, timestamp) : undefined;
  return own ?? `{"timestamp":"${timestamp}",${heads[source]},"event":${json(line)}${cut ? ',"cut":true' : ''}}`;
}

/** A line of the supervisor's. Give it no text of a task's as `event`. */
export function supervisorRecord(level: 'info' | 'warning' | 'error', event: string, fields: Readonly<Record<string, unknown>> = {}): string {
  return json({ timestamp: new Date().toISOString(), level, event, logger: supervisorLogger, ...fields });
}

/** What is read of a record; all else of it goes on as it was written. */
const read = ['timestamp', 'level', 'event', 'logger', 'exception', 'error_detail'] as const;
type Read = (typeof read)[number];
const isRead = (name: string): name is Read => (read as readonly string[]).includes(name);
/** Beyond it the record is a text: what reads the file is of all kinds, and Python's json gives up at 1000. */
const deepest = 64;

function structured(text: string, timestamp: string): string | undefined {
  const fields: Partial<Record<Read, string>> = {};
  const rest: string[] = [];
  let [from, end] = [0, 0];
  const scan = scanJson(text, {
    onMember: (name, start, [at, behind]) => {
      if (isRead(name)) {
        fields[name] = text.slice(at, behind); // of two the second, as everywhere
        if (end > 0) rest.push(text.slice(from, end));
        end = 0;
      } else {
        if (end === 0) from = start;
        end = behind;
      }
    },
  });
  // Hidden is a number with a mark in it, as a task writes one that has no masker: no JSON without its quotes.
  if (!scan.isWhole || scan.hidden.length > 0 || scan.depth > deepest || !/^\s*\{/.test(text)) return undefined;
  if (end > 0) rest.push(text.slice(from, end));
  const { event = '""', exception, error_detail = exception } = fields;
  const [at, level, logger] = [stringIn(fields.timestamp), stringIn(fields.level), stringIn(fields.logger)];
  const own = [
    `"timestamp":${json(at ?? timestamp)}`,
    `"level":${json(level?.toLowerCase() ?? plain.log.level)}`,
    `"event":${event === 'null' ? '""' : event}`,
    `"logger":${json(logger === undefined ? plain.log.logger : taskLogger(logger))}`,
    ...(error_detail === undefined ? [] : [`"error_detail":${error_detail}`]), // Airflow's supervisor renames `exception`, and what reads the file looks for that
  ];
  return harmless(`{${[...own, ...rest].join()}}`).replace(/[\t\r\n]/g, ' '); // between two words: within a string they are escaped
}

const stringIn = (value = ''): string | undefined => (value.startsWith('"') ? (JSON.parse(value) as string) : undefined);

const taskLogger = (name: string): string => (name === supervisorLogger ? `task.${name}` : name);
