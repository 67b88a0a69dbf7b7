import { native } from '../native.js';

/** Clears the flag that lets a process of the same user trace this one, read its memory or make it dump core. Irreversible in effect; reset by execve. @see prctl(2) */
export function disableDumpable(): void {
  native().disableDumpable();
}

/** Whether the kernel has the flag set now. 2, "root may dump", counts as set: nothing here ever asks for it. */
export function isDumpable(): boolean {
  return native().getDumpable() !== 0;
}

/** Whether the flag was set when the addon was loaded: from execve to that moment anyone of the same user could open this process's memory. */
export function wasBornDumpable(): boolean {
  return native().bornDumpable();
}

/**
 * Whether a file of /proc/<pid> that process `holder` has open as `fd` tells nothing any more, since the memory that it
 * showed is gone. False also where we may not look. @see pidfd_getfd(2), proc(5)
 */
export function showsNothing(holder: number, fd: number): boolean {
  return native().showsNothing(holder, fd);
}
