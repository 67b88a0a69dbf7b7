import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { RunTrigger } from './types.js';

/** Whose code runs: all triggers of a team share a process. One, wherever this module was loaded from: the runner's copy and an author's may differ. */
const slot: unique symbol = Symbol.for('sallyport.trigger.scope') as never;
const scope = ((globalThis as { [slot]?: AsyncLocalStorage<RunTrigger> })[slot] ??= new AsyncLocalStorage());

/** The trigger whose code calls this; undefined in nobody's. */
export function current(): RunTrigger | undefined {
  return scope.getStore();
}

/** Runs a trigger's code: what it starts is its own, too. */
export function within<T>(trigger: RunTrigger, run: () => T): T {
  return scope.run(trigger, () => {
    note(trigger.id);
    return run();
  });
}

/** In the scratch folder, where the host looks when this process no longer answers, or has ended. */
const noteName = '.running-trigger';
const noteBytes = 16; // as many digits as a safe integer has

let fd: number | undefined;
let noted = -1;

function note(id: number): void {
  if (id === noted || fd === undefined) return;
  noted = id;
  try {
    writeSync(fd, String(id).padEnd(noteBytes), 0, 'latin1');
  } catch {
    fd = undefined; // somebody's code has closed it: the host does without
  }
}

/** From now on whoever runs is noted before it does, so that one that never comes back has left its name. Only changes cost a write. */
export function noteTurns(): void {
  const scratch = process.env['TMPDIR'];
  if (scratch === undefined) return;
  fd = openSync(join(scratch, noteName), 'w', 0o600);
  createHook({
    before() {
      const trigger = scope.getStore();
      if (trigger !== undefined) note(trigger.id);
    },
  }).enable();
}
