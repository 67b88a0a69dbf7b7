import type { KillSwitch } from './kill.js';
import type { Outlet } from './outlets.js';

/** What there is one of in a process, wherever this module was loaded from: the runner's copy and the one that a task file finds may differ. */
export interface Shared {
  kill?: KillSwitch | undefined;
  /** What the task has updated so far. */
  outlets?: Outlet[] | undefined;
  /** Gets log lines in the place of descriptor 3. */
  onLog?: ((line: string) => void) | undefined;
  /** Whose line it is, in a process that many share. */
  whose?: (() => object) | undefined;
}

const slot: unique symbol = Symbol.for('sallyport.task') as never;
const holder = globalThis as { [slot]?: Shared };

export const shared: Shared = (holder[slot] ??= {});
