import type { Identity } from './scene.js';

/** Two task instances that an Execution API has queued, fresh for one attempt, and what is worth stealing. */
export interface Admission {
  readonly hostile: Identity;
  readonly neighbour: Identity;
  readonly token: string;
  readonly neighbourToken: string;
  /** Readable with the supervisor's token alone: who reads it holds the token. */
  readonly ownVariable: { readonly key: string; readonly value: string };
  /** The neighbour's secret. */
  readonly neighbourVariable: { readonly key: string; readonly value: string };
}

/** The Execution API that the supervisors under test talk to, and the runner's view behind it. */
export interface ProofApi {
  readonly baseUrl: string;
  admit(): Promise<Admission>;
  /** What is stored as the result of a task instance; null when nothing is. */
  result(of: Identity): Promise<unknown>;
}
