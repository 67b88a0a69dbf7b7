// Looks at a task from a process of its own, so that the looking holds nobody's event loop. Forked by ../storm.ts.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** What the bench says: follow this session, tell what was seen of it, or weigh this folder. */
export type Question = { readonly follow: number } | { readonly seen: true } | { readonly weigh: string };

/** The most at any one look. */
export interface Seen {
  /** Processes and threads, as pids.max counts them. */
  readonly processes: number;
  /** Anonymous and shared memory. */
  readonly memoryBytes: number;
}

const intervalMs = 5;
let most: Seen = { processes: 0, memoryBytes: 0 };
let timer: NodeJS.Timeout | undefined;

function text(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // it has ended
  }
}

function look(session: number): Seen {
  let [processes, memoryBytes] = [0, 0];
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = text(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // from the state on, the third of proc(5)
    if (fields[0] === 'Z' || Number(fields[3]) !== session) continue;
    processes += Number(fields[17]);
    for (const [, kB] of text(`/proc/${pid}/status`).matchAll(/^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB/gm)) memoryBytes += Number(kB) * 1024;
  }
  return { processes, memoryBytes };
}

process.on('message', (question: Question) => {
  if ('follow' in question) {
    most = { processes: 0, memoryBytes: 0 };
    timer = setInterval(() => {
      const now = look(question.follow);
      most = { processes: Math.max(most.processes, now.processes), memoryBytes: Math.max(most.memoryBytes, now.memoryBytes) };
    }, intervalMs);
  } else if ('seen' in question) {
    clearInterval(timer);
    process.send?.(most);
  } else {
    process.send?.(Number.parseInt(execFileSync('du', ['-s', '--block-size=1', question.weigh], { encoding: 'utf8' }), 10));
  }
});
process.on('disconnect', () => process.exit());
