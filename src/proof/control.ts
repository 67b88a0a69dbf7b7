import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import type { Order, Report } from './scene.js';

/** The supervisor's end of the line to the runner: its descriptor 3. */
export function runnerLine(): Socket {
  return new Socket({ fd: 3, readable: true, writable: true });
}

export function tell(line: Duplex, message: Report | Order): void {
  line.write(`${JSON.stringify(message)}\n`);
}

/** Calls `take` with each message; `ended` when the other side has gone. */
export function listen<T extends Report | Order>(line: Duplex, take: (message: T) => void, ended: () => void): void {
  line.on('error', ended);
  createInterface({ input: line }).on('line', (text) => take(JSON.parse(text) as T)).on('close', ended);
}

/** Nothing that goes wrong in a supervisor under test is passed over: the runner's verdict may rest on it. */
export function fail(line: Duplex, error: unknown): void {
  tell(line, { type: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}

/** What both supervisors do with the runner's orders. */
export function obey(line: Duplex, orders: Record<Order['type'], () => void | Promise<void>>, end: () => void): void {
  listen<Order>(line, (order) => void (async () => orders[order.type]())().catch((error: unknown) => fail(line, error)), end);
}
