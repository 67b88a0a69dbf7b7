export type { Declaration, GrantPreset, Grants, XComGrant } from '../execution-api/grants.js';
export type { LogLine } from './lines.js';
export type { LogOptions, LogSummary } from './logs/index.js';
export type { Outcome } from './run.js';
export { Supervisor, type RunOptions, type SupervisorOptions } from './supervisor.js';
export type { Workload } from './workload.js';
export type { WarmOptions } from './warm.js';
