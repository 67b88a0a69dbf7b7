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

/** Called before the reply is sent. If it throws, the task gets an error instead: nothing is answered unaudited. */
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
