import { statSync } from 'node:fs';
import type { Limits } from '../../policy/policy.js';
import type { Prop, Sighting } from '../props.js';
import { descendants, list, read } from './process-tree.js';

const everyMs = 100;
/** What is over for a moment may be on its way out; what is over for this long is held. */
const heldMs = 500;

/** Adds up what all processes of the supervisor's hold, and sees when that stays above `budget`; a task of ours gets `limits`. */
function hoard(whose: string, what: string, budget: number, limits: Limits, measure: (pids: readonly number[], supervisor: number) => number): Prop {
  let timer: NodeJS.Timeout | undefined;
  let overSince: number | undefined;
  let sighting: Sighting | undefined;
  return {
    grants: { limits },
    watch(supervisor) {
      timer = setInterval(() => {
        if (measure(descendants(supervisor), supervisor) <= budget) overSince = undefined;
        else overSince ??= performance.now();
        if (overSince !== undefined && performance.now() - overSince > heldMs) sighting = { verdict: 'disrupted', evidence: `${whose} held more than ${budget} ${what}, and went on` };
      }, everyMs);
    },
    seen: () => sighting,
    end: () => clearInterval(timer),
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
const status = (pid: number, name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(read(pid, 'status'))?.[1] ?? 0);

export const crowd = (): Prop => hoard('its processes', 'processes', 300, { processes: 128 }, (pids) => pids.length);

export const memory = (): Prop => hoard('its processes', 'MB of memory', 500, { memoryBytes: 300e6 }, (pids) => sum(pids.map((pid) => status(pid, 'RssAnon') / 1000)));

export const descriptors = (): Prop => hoard('its processes', 'descriptors', 2500, { openFiles: 128 }, (pids) => sum(pids.map((pid) => list(`/proc/${pid}/fd`).length)));

/** One count for all processes of the user, which the kernel shows with each of them. */
export const pendingSignals = (): Prop => hoard('its processes', 'signals that nobody takes', 20_000, {}, (_pids, supervisor) => status(supervisor, 'SigQ'));

/** What the supervisor itself has come to. */
export const bloat = (): Prop => hoard('the supervisor', 'MB of memory', 300, {}, (_pids, supervisor) => status(supervisor, 'RssAnon') / 1000);

/** What its open files occupy, those without a name too. */
export const disk = (): Prop => hoard('its processes', 'MB of files', 100, { scratchBytes: 32e6 }, (pids) => sum(pids.flatMap((pid) => list(`/proc/${pid}/fd`).map((fd) => megabytes(`/proc/${pid}/fd/${fd}`)))));

function megabytes(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true ? stat.size / 1e6 : 0;
}
