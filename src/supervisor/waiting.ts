// In place of node:timers/promises, which makes an error, with its stack, for each wait that is cut short: most of a supervisor's are.

/** Whether something that never rejects settles in time. Leaves no timer behind. */
export function within(settling: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    void settling.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

/** So long, or until the signal. @returns Whether it was so long. */
export function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const aborted = (): void => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', aborted);
      resolve(true);
    }, ms);
    signal.addEventListener('abort', aborted, { once: true });
  });
}
