/** What SQLite gives at once and PostgreSQL later. */
export type Awaitable<T> = T | Promise<T>;

/** As `await`, for what need not wait: a request that is answered from memory or SQLite takes no turns of the event loop's queues. */
export function chain<T, U>(value: Awaitable<T>, next: (value: T) => Awaitable<U>): Awaitable<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
