/** `sallyport/hosts`: processes for code that is no task: files that define workflows, and triggers. */

export { ParseHost, parseLimits, type DagFileParseRequest, type ParseHostOptions } from './parse/host.js';
export type { DagFileParsingResult, ParsedDag, ParseWarning } from './parse/result.js';
export { TriggerHost, triggerLimits, type TriggerHostOptions, type TriggerStateSync, type TriggerTeam } from './trigger/host.js';
export type { TriggerStateChanges } from './trigger/messages.js';
export type { RunTrigger } from './trigger/run-trigger.js';
export { Triggerer } from './triggerer/triggerer.js';
export type { TriggererEvent, TriggererOptions, TriggererSubject } from './triggerer/options.js';
export type { Lookup, LookupOf } from './lookups.js';
export { serialize, type SerializedDag, type SerializedTask } from '../definition/dag.js';
export type { Schedule } from '../definition/schedule.js';
export type { Asset } from '../definition/assets.js';
