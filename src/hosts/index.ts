/** `sallyport/hosts`: processes for code that is no task: files that define workflows, and triggers. */

export { ParseHost, parseLimits, type DagFileParseRequest, type ParseHostOptions } from './parse/host.js';
export type { DagFileParsingResult, ParsedDag, ParseWarning } from './parse/result.js';
export type { Lookup } from './lookups.js';
export { serialize, type SerializedDag, type SerializedTask } from '../definition/dag.js';
export type { Schedule } from '../definition/schedule.js';
export type { Asset } from '../definition/assets.js';
