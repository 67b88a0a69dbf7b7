import { channel } from 'node:diagnostics_channel';

/** Who asked for what, and what became of it. Never what was asked with, nor what was answered. */
export interface AuditRecord {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** The task's name, given by the supervisor. */
  readonly task: string;
  readonly id: number;
  /** The method's name: as the task gave it, if it is granted or not, in 64 printable characters; empty when it gave none. */
  readonly method: string;
  /** `denied`: nothing was done. `failed`: the method was called and threw. */
  readonly outcome: 'allowed' | 'denied' | 'failed';
  /** Why it was not allowed, in the words of the error's code or of the policy. */
  readonly reason?: string;
}

/**
 * Called before the reply is sent. If it throws, the task gets an error instead: nothing is answered unaudited. What was done by then is recorded
 * before anything else is: until that succeeds, requests of every task with this audit fail, and nothing is done for them.
 */
export type Audit = (record: AuditRecord) => void;

/** Every record of every broker in this process is published here, as a frozen object. */
export const requestChannel = channel('sallyport:request');

/** @throws What `audit` throws, and then nothing is published. */
export function record(audit: Audit | undefined, { task, id, method, outcome, reason }: Omit<AuditRecord, 'at'>): void {
  const at = now();
  const stamped: AuditRecord = Object.freeze(reason === undefined ? { at, task, id, method, outcome } : { at, task, id, method, outcome, reason });
  audit?.(stamped);
  requestChannel.publish(stamped);
}

/** By audit, what was done and could not be recorded: no more than was in hand when it first failed. */
const overdue = new WeakMap<Audit, Omit<AuditRecord, 'at'>[]>();

/** Of what was done: where that cannot be recorded now it is later. @throws What `audit` throws. */
export function recordDone(audit: Audit | undefined, done: Omit<AuditRecord, 'at'>): void {
  try {
    record(audit, done);
  } catch (error) {
    if (audit !== undefined) {
      const records = overdue.get(audit) ?? [];
      records.push(done);
      overdue.set(audit, records);
    }
    throw error;
  }
}

/** Ask for it before anything is done. @throws What `audit` throws: nothing may be done yet. */
export function recordOverdue(audit: Audit | undefined): void {
  const records = audit && overdue.get(audit);
  if (audit === undefined || records === undefined) return;
  for (let first = records[0]; first !== undefined; first = records[0]) {
    record(audit, first);
    records.shift();
  }
  overdue.delete(audit);
}

let lastMs = NaN;
let last = '';

/** Many requests come in one millisecond, and to write the time down takes longer than all else of a record. */
function now(): string {
  const ms = Date.now();
  if (ms !== lastMs) {
    lastMs = ms;
    last = new Date(ms).toISOString();
  }
  return last;
}
