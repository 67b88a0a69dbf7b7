/**
 * The event loop is shared by every task of this process, and so must be what their messages take of it: one channel
 * that leaves the others a turn is of no use where twelve take one each.
 */

/** What all channels together may take of one turn of the event loop; passed by at most one piece of work. */
const msPerTurn = 10;
/** What of it needs no place in the queue while nobody waits: most messages take microseconds, and such a place as many again. */
const msAtOnce = 1;

/** One queue of work, in which whoever has had the least time is next. */
class Turns {
  readonly #waiting = new Set<Lane>();
  /** The time used by the lane served last: who comes after a pause is owed nothing for it. */
  #clock = 0;
  /** Whether work is being done, or a turn is on its way: what comes has to wait. */
  #isRunning = false;
  /** Since the last turn, so at least in this turn of the loop. */
  #atOnceMs = 0;

  enter(lane: Lane): void {
    if (this.#waiting.has(lane)) return;
    lane.usedMs = Math.max(lane.usedMs, this.#clock);
    this.#waiting.add(lane);
    if (!this.#isRunning) this.#goOn();
  }

  /** @returns whether it has been called. */
  atOnce(lane: Lane, work: () => 'done' | 'more'): boolean {
    if (this.#isRunning) return false;
    this.#isRunning = true;
    lane.usedMs = this.#clock = Math.max(lane.usedMs, this.#clock);
    const since = performance.now();
    let left: 'done' | 'more' = 'done';
    try {
      left = work();
    } finally {
      if (left === 'done') this.#wasAtOnce(lane, since);
      else this.#afterAll(() => this.#wasAtOnce(lane, since));
    }
    return true;
  }

  #wasAtOnce(lane: Lane, since: number): void {
    const tookMs = performance.now() - since;
    lane.usedMs += tookMs;
    this.#atOnceMs += tookMs;
    if (this.#waiting.size > 0 || this.#atOnceMs >= msAtOnce) this.#goOn();
    else this.#isRunning = false;
  }

  #goOn(): void {
    this.#isRunning = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    const now = performance.now();
    const started = now - this.#atOnceMs;
    this.#atOnceMs = 0;
    const step = (lane: Lane, since: number): void => {
      const now = performance.now();
      lane.usedMs += now - since;
      const next = this.#next();
      if (next === undefined) this.#isRunning = false;
      else if (now - started >= msPerTurn) this.#goOn();
      else this.#serve(next, now, step);
    };
    const first = this.#next();
    if (first === undefined) this.#isRunning = false;
    else this.#serve(first, now, step);
  }

  #next(): Lane | undefined {
    let least: Lane | undefined;
    for (const lane of this.#waiting) if (least === undefined || lane.usedMs < least.usedMs) least = lane;
    return least;
  }

  #serve(lane: Lane, since: number, step: (lane: Lane, since: number) => void): void {
    this.#clock = lane.usedMs;
    try {
      if (lane.shift()) this.#waiting.delete(lane);
    } finally {
      // Also where it throws, which it must not: a process that outlives that has other tasks.
      this.#afterAll(() => step(lane, since));
    }
  }

  /** Once all that followed from a piece of work has been done, promises included: that is paid for by the same lane. */
  #afterAll(then: () => void): void {
    queueMicrotask(() => process.nextTick(then));
  }
}

const turns = new Turns();

/** One channel's place in the queue. */
export class Lane {
  /** Counted by the queue. */
  usedMs = 0;
  readonly #work: (() => void)[] = [];

  /** As `soon`. Rejects with what the work throws. */
  run<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.soon(() => {
        try {
          resolve(work());
        } catch (error) {
          reject(error as Error);
        }
        return 'more';
      });
    });
  }

  /**
   * Does the work, which must not throw, at once where nobody waits and little of this turn is used; or else when its turn has come.
   * @param work Says whether promises that it left will do more.
   * @returns whether it was at once.
   */
  soon(work: () => 'done' | 'more'): boolean {
    if (turns.atOnce(this, work)) return true;
    this.#work.push(work);
    turns.enter(this);
    return false;
  }

  /** Does the oldest work. @returns whether it was the last. */
  shift(): boolean {
    this.#work.shift()?.();
    return this.#work.length === 0;
  }
}
