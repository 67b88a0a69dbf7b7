import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

function withCommandLine(holds: (line: string) => boolean): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return holds(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
      } catch {
        return false;
      }
    });
}

/** The pids whose command line holds `mark`. What a shell starts has the shell's until its execve, and for a moment none. */
export const running = (mark: string): number[] => withCommandLine((line) => line.includes(mark));

/** The pids of `sleep` whose time begins with `mark`. */
export const sleeping = (mark: string): number[] => withCommandLine((line) => line.startsWith(`sleep\0${mark}`));

/** Waits for as long as it takes: a hang is the runner's to end. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(10);
}
