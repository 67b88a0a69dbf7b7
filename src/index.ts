export { Type } from '@sinclair/typebox';
export {
  Authorizer,
  opaPolicy,
  type AuthorizerOptions,
  type Decision,
  type DecisionRecord,
  type Declares,
  type Identity as TaskIdentity,
  type OpaOptions,
  type PolicyAnswer,
  type PolicyFunction,
  type PolicyInput,
  type Resource,
} from './authorization/index.js';
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
export { loadConfig, type Config, type LoadConfigOptions, type Role, type SallyportSettings } from './config/index.js';
export * from './errors.js';
export { ExecutionApi, type AssetEventFilter, type DagRunFilter, type ExecutionApiOptions, type RequestOptions, type TaskInstanceFilter, type XComName, type XComRef } from './execution-api/client.js';
export type { Connection, RunContext, StateUpdate, Variable, XCom } from './execution-api/schema.js';
export * from './guarantees.js';
export { harden, type HardenOptions } from './harden/harden.js';
export type { HardenReport } from './harden/report.js';
export { dropCapabilities, getCapabilities, type CapabilityName, type CapabilityReport, type CapabilitySets, type DropCapabilitiesOptions } from './kernel/capabilities.js';
export type { Endpoint, NetworkPlan, NetworkPolicy } from './policy/network.js';
export type { Plan } from './policy/plan.js';
export type { FileModes, Identity, Limits, Policy } from './policy/policy.js';
export { loadPolicy, type PresetName } from './policy/policy-file.js';
export { policies, type PythonOptions } from './policy/presets.js';
export { Masker, type MaskerOptions } from './secrets/masker.js';
export { Secret, type SecretDescriptorOptions, type SecretReadOptions } from './secrets/secret.js';
export {
  AuditFile,
  observe,
  shutDownOnSignals,
  Supervisor,
  type AuditFileOptions,
  type Declaration,
  type GrantPreset,
  type Grants,
  type LogLine,
  type LogOptions,
  type LogSummary,
  type Meter,
  type ObserveOptions,
  type Outcome,
  type ReportResult,
  type ReportsOptions,
  type RunOptions,
  type Shutdown,
  type ShutdownOptions,
  type Status,
  type StatusOptions,
  type SupervisorOptions,
  type TaskRef,
  type TaskStep,
  type TaskSteps,
  type WarmOptions,
  type Workload,
  type XComGrant,
} from './supervisor/index.js';
export { launch, type LaunchOptions } from './task/launch.js';
export { Pool, type PoolOptions, type TakeOptions } from './task/pool.js';
export type { Stdio } from './task/stdio.js';
export type { RefusedCall } from './task/trace.js';
export { Task, type TaskEvents, type TaskExit } from './task/task.js';
export { FolderQueue, ServerQueue, Worker, type Claim, type Result, type ServerQueueOptions, type Subject as WorkSubject, type WorkerEvent, type WorkerOptions, type WorkQueue } from './worker/index.js';
