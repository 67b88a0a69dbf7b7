export {
  errorResponse,
  method,
  serve,
  type Audit,
  type AuditRecord,
  type Broker,
  type ChannelLimits,
  type ErrorResponse,
  type ErrorType,
  type Method,
  type MethodContext,
  type MethodTable,
  type ServeOptions,
} from './broker/index.js';
export * from './errors.js';
export * from './guarantees.js';
export type { Limits, Policy } from './policy/policy.js';
export { policies } from './policy/presets.js';
export type { Plan } from './policy/plan.js';
export { launch, type LaunchOptions } from './task/launch.js';
export type { Stdio } from './task/stdio.js';
export { Task, type TaskExit } from './task/task.js';
