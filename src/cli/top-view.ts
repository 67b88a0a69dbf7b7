import type { Status } from '../supervisor/index.js';
import { clip, pad, type Paint, type Style, widthOf } from './table.js';
import { inline as visible } from './visible.js';

export type Sort = 'time' | 'memory' | 'cpu';

export interface View {
  readonly paint: Paint;
  readonly columns: number;
  /** How many lines there is room for. */
  readonly rows: number;
  readonly sort: Sort;
}

type Row = Status['running'][number];

const stateStyles: Readonly<Record<string, Style>> = {
  starting: 'cyan', running: 'green', ending: 'dim',
  success: 'green', failed: 'red', refused: 'red', server_terminated: 'red', up_for_retry: 'yellow', up_for_reschedule: 'cyan', deferred: 'cyan', awaiting_input: 'cyan', skipped: 'dim', removed: 'dim',
};
const barCells = 8;
const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const mostEnded = 5;
const agoWidth = 8;

/** What of a row is shown in one column, where the terminal has so many columns at least. */
interface Column {
  readonly head: string;
  readonly width: number;
  readonly from: number;
  /** Where a task was denied something, which has a column then. @default `from` */
  readonly fromIfDenied?: number;
  readonly right?: true;
  cell(row: Row, look: Look): string;
}

interface Look {
  readonly paint: Paint;
  readonly at: string;
  readonly before: Status | undefined;
}

/** But for the first, which takes what is left. */
const columnsOfTask: readonly Column[] = [
  { head: 'STATE', width: 8, from: 0, cell: ({ state, failedHeartbeats }, { paint }) => (failedHeartbeats > 0 ? paint('yellow', 'unheard') : paintState(state, state, paint)) },
  { head: 'TIME', width: 9, from: 0, cell: ({ since, limits: { wallTimeMs } }, { at, paint }) => {
    const ms = Date.parse(at) - Date.parse(since);
    return ofLimit(ms, wallTimeMs, (value) => duration(value / 1000), paint);
  } },
  { head: 'CPU', width: 5, from: 0, right: true, cell: (row, { at, before }) => percent(cpuOf(row, at, before)) },
  { head: '', width: barCells, from: 84, fromIfDenied: 104, cell: ({ usage, limits: { memoryBytes } }, { paint }) => (memoryBytes === null ? '' : bar((usage?.memoryBytes ?? 0) / memoryBytes, paint)) },
  { head: 'MEMORY', width: 9, from: 0, cell: ({ usage, limits: { memoryBytes } }, { paint }) => ofLimit(usage?.memoryBytes ?? 0, memoryBytes, bytes, paint) },
  { head: 'PROC', width: 7, from: 96, cell: ({ usage, limits: { processes } }, { paint }) => ofLimit(usage?.processes ?? 0, processes, String, paint) },
  { head: 'REQUESTS', width: 8, from: 76, fromIfDenied: 88, right: true, cell: ({ requests }) => thousands(requests) },
  { head: 'DENIED', width: 6, from: 104, fromIfDenied: 64, right: true, cell: ({ denied }, { paint }) => (denied === 0 ? '' : paint('yellow', thousands(denied))) },
];

/**
 * One supervisor as lines of at most `columns` characters that are seen, `rows` at most.
 *
 * @param before An earlier look, for what is a rate.
 */
export function renderStatus(status: Status, before: Status | undefined, { paint, columns, rows, sort }: View): string[] {
  const ended = status.ended.slice(0, Math.max(0, Math.min(mostEnded, rows - 8)));
  const head = [title(status, before, paint), ...inLines(counts(status, before, paint), columns).slice(0, rows < 12 ? 1 : 3)];
  const tail = ended.length === 0 ? [] : ['', ...endedLines(ended, status.at, columns, paint)];
  const room = Math.max(1, rows - head.length - tail.length - 2);
  const isAnyDenied = status.running.some(({ denied }) => denied > 0);
  const chosen = columnsOfTask.filter(({ from, fromIfDenied = from }) => columns >= (isAnyDenied ? fromIfDenied : from));
  const rest = Math.max(16, columns - 2 - chosen.reduce((sum, { width }) => sum + width + 2, 0));
  const look = { paint, at: status.at, before };
  const running = [...status.running].sort(orders[sort]);
  const shown = running.length > room ? running.slice(0, room - 1) : running;
  const table = [
    paint('dim', line([pad('TASK', rest), ...chosen.map((column) => aligned(column.head, column))])),
    ...(running.length === 0 ? [paint('dim', ' nothing runs')] : shown.map((row) => line([name(row, rest, paint), ...chosen.map((column) => aligned(column.cell(row, look), column))]))),
    ...(shown.length < running.length ? [paint('dim', ` and ${running.length - shown.length} more`)] : []),
  ];
  return [...head, '', ...table, ...tail].map((text) => clip(text, columns));
}

const secondsBetween = (at: string, before: Status | undefined): number => (before === undefined ? 0 : (Date.parse(at) - Date.parse(before.at)) / 1000);
const rate = (now: number, then: number | undefined, seconds: number): number => (seconds > 0 && then !== undefined ? Math.max(0, now - then) / seconds : 0);

/** Who it is, first of all whether it takes no more. */
function title({ at, supervisor }: Status, before: Status | undefined, paint: Paint): string {
  const up = (Date.parse(at) - Date.parse(supervisor.since)) / 1000;
  const cpu = before === undefined ? supervisor.cpuSeconds / Math.max(up, 1) : rate(supervisor.cpuSeconds, before.supervisor.cpuSeconds, secondsBetween(at, before));
  const closed = supervisor.closed === null ? [] : [paint('yellow', visible(supervisor.closed))];
  return ` ${[paint('bold', visible(supervisor.hostname)), ...closed, paint('dim', `supervisor ${supervisor.pid}, up ${duration(up)}, ${bytes(supervisor.memoryBytes)}, ${percent(cpu)} cpu`)].join('  ')}`;
}

const bad: readonly string[] = ['failed', 'refused', 'server_terminated'];

/** How many of what, what somebody has to see to first: where there is no room the rest is cut off. */
function counts({ at, supervisor, totals, running }: Status, before: Status | undefined, paint: Paint): string[] {
  const states = Object.entries(totals.states).sort(([a], [b]) => Number(bad.includes(b)) - Number(bad.includes(a)));
  return [
    paint('bold', `${running.length} running`),
    ...(supervisor.reportsWaiting > 0 ? [paint('yellow', `${supervisor.reportsWaiting} reports wait for the server`)] : []),
    ...(totals.denied > 0 ? [paint('yellow', `${thousands(totals.denied)} denied`)] : []),
    ...states.map(([state, count]) => paintState(state, `${thousands(count)} ${state}`, paint)),
    before === undefined ? `${thousands(totals.requests)} requests` : `${thousands(Math.round(rate(totals.requests, before.totals.requests, secondsBetween(at, before))))} requests/s`,
  ];
}

/** Words that stay whole, in lines of so many columns. */
function inLines(words: readonly string[], columns: number): string[] {
  const made: string[] = [];
  for (const word of words) {
    const last = made.at(-1);
    if (last === undefined || widthOf(last) + 3 + widthOf(word) > columns) made.push(` ${word}`);
    else made[made.length - 1] = `${last}   ${word}`;
  }
  return made;
}

/** `dag.task`, and the run as far as there is room. */
function name({ task }: Pick<Row, 'task'>, room: number, paint: Paint): string {
  const which = visible(`${task.dag_id}.${task.task_id}${task.map_index >= 0 ? `[${task.map_index}]` : ''}`);
  const left = room - widthOf(which);
  if (left <= 0) return clip(which, room);
  const more = ` ${visible(task.run_id)}${task.try_number > 1 ? ` #${task.try_number}` : ''}`;
  return pad(`${which}${left < 6 ? '' : paint('dim', clip(more, left))}`, room);
}

/** What has become of a task is said whole, and its name has what is left. */
function endedLines(ended: Status['ended'], now: string, columns: number, paint: Paint): string[] {
  const what = ended.map(({ state, durationMs, reported, kept }) => {
    const took = durationMs === null ? '' : ` after ${durationMs < 9950 ? `${(durationMs / 1000).toFixed(1)}s` : duration(durationMs / 1000)}`;
    const unreported = reported || state === 'refused' || state === 'server_terminated' ? '' : paint('yellow', kept ? ', the server is told later' : ', the server does not know');
    return `${paintState(state, state, paint)}${paint('dim', took)}${unreported}`;
  });
  const room = Math.max(16, Math.min(40, columns - agoWidth - 5 - Math.max(...what.map(widthOf))));
  return ended.map((task, index) => ` ${paint('dim', `${duration((Date.parse(now) - Date.parse(task.at)) / 1000)} ago`.padStart(agoWidth))}  ${name(task, room, paint)}  ${what[index]}`);
}

/** Of one core, since the last look or else since it began. */
function cpuOf({ task, pid, usage, since }: Row, at: string, before: Status | undefined): number {
  if (usage === null) return 0;
  const then = before?.running.find((row) => row.task.id === task.id && row.pid === pid)?.usage;
  const seconds = (Date.parse(at) - Date.parse(then && before ? before.at : since)) / 1000;
  return seconds > 0.2 ? Math.max(0, usage.cpuSeconds - (then?.cpuSeconds ?? 0)) / seconds : 0;
}

const orders: Readonly<Record<Sort, (a: Row, b: Row) => number>> = {
  time: (a, b) => a.since.localeCompare(b.since),
  memory: (a, b) => (b.usage?.memoryBytes ?? 0) - (a.usage?.memoryBytes ?? 0),
  cpu: (a, b) => (b.usage?.cpuSeconds ?? 0) - (a.usage?.cpuSeconds ?? 0),
};

/** Blocks of eighths, so that a small share shows too. */
function bar(share: number, paint: Paint): string {
  const filled = Math.min(1, Math.max(0, share)) * barCells;
  const blocks = '█'.repeat(Math.floor(filled)) + (eighths[Math.floor((filled % 1) * 8)] ?? '');
  return paint(styleOf(share) ?? 'green', blocks) + paint('dim', '·'.repeat(barCells - blocks.length));
}

const styleOf = (share: number): Style | undefined => (share > 0.9 ? 'red' : share > 0.7 ? 'yellow' : undefined);

/** `used/limit`, coloured as it comes near. */
function ofLimit(used: number, limit: number | null, show: (value: number) => string, paint: Paint): string {
  if (limit === null) return show(used);
  const style = styleOf(used / limit);
  return `${style === undefined ? show(used) : paint(style, show(used))}${paint('dim', `/${show(limit)}`)}`;
}

function paintState(state: string, text: string, paint: Paint): string {
  const style = stateStyles[state];
  return style === undefined ? visible(text) : paint(style, visible(text));
}

function aligned(text: string, { width, right }: Column): string {
  return right === true ? ' '.repeat(Math.max(0, width - widthOf(text))) + text : pad(text, width);
}

const line = (cells: readonly string[]): string => ` ${cells.join('  ')}`.trimEnd();
const thousands = (count: number): string => count.toLocaleString('en');
const percent = (share: number): string => `${Math.round(share * 100)} %`;

/** Three figures at most: `412M`, `1.2G`. */
function bytes(count: number): string {
  let [value, unit] = [count / 2 ** 20, 'M'];
  if (value >= 1000) [value, unit] = [value / 1024, 'G'];
  return `${value >= 10 || value === 0 ? Math.round(value) : value.toFixed(1)}${unit}`;
}

/** Two parts at most: `12s`, `3m04`, `2h13`, `4d02`. */
function duration(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  if (s < 60) return `${s}s`;
  if (s < 3600) return s % 60 === 0 ? `${s / 60}m` : `${Math.floor(s / 60)}m${two(s % 60)}`;
  if (s < 86_400) return s % 3600 === 0 ? `${s / 3600}h` : `${Math.floor(s / 3600)}h${two(Math.floor((s % 3600) / 60))}`;
  return `${Math.floor(s / 86_400)}d${two(Math.floor((s % 86_400) / 3600))}`;
}
