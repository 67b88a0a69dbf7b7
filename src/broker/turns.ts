/**
 * The event loop is shared by every task of this process, and so must be what their messages take of it: one channel
 * that leaves the others a turn is of no use where twelve take one each.
 */

/** What all channels together may take of one turn of the event loop; passed by at most one piece of work. */
const msPerTurn = 10;

/** One queue of work, in which whoever has had the least time is next. */
class Turns {
  readonly #waiting = new Set<Lane>();
  /** The time used by the lane served last: who comes after a pause is owed nothing for it. */
  #clock = 0;
  #isRunning = false;

  enter(lane: Lane): void {
    if (this.#waiting.has(lane)) return;
    lane.usedMs = Math.max(lane.usedMs, this.#clock);
    this.#waiting.add(lane);
    if (this.#isRunning) return;
    this.#isRunning = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    const started = performance.now();
    const step = (lane: Lane, since: number): void => {
      const now = performance.now();
      lane.usedMs += now - since;
      const next = this.#next();
      if (next === undefined) this.#isRunning = false;
      else if (now - started >= msPerTurn) setImmediate(() => this.#turn());
      else this.#serve(next, now, step);
    };
    const first = this.#next();
    if (first === undefined) this.#isRunning = false;
    else this.#serve(first, started, step);
  }

  #next(): Lane | undefined {
    let least: Lane | undefined;
    for (const lane of this.#waiting) if (least === undefined || lane.usedMs < least.usedMs) least = lane;
    return least;
  }

  #serve(lane: Lane, since: number, step: (lane: Lane, since: number) => void): void {
    this.#clock = lane.usedMs;
    if (lane.shift()) this.#waiting.delete(lane);
    // Once all that followed from it has been done, promises included: that is paid for by the same lane.
    queueMicrotask(() => process.nextTick(step, lane, since));
  }
}

const turns = new Turns();

/** One channel's place in the queue. */
export class Lane {
  /** Counted by the queue. */
  usedMs = 0;
  readonly #work: (() => void)[] = [];

  /** Does the work when its turn has come. Rejects with what it throws. */
  run<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#work.push(() => {
        try {
          resolve(work());
        } catch (error) {
          reject(error as Error);
        }
      });
      turns.enter(this);
    });
  }

  /** Does the oldest work. @returns whether it was the last. */
  shift(): boolean {
    this.#work.shift()?.();
    return this.#work.length === 0;
  }
}
