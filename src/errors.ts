import type { GuaranteeName } from './guarantees.js';

/** Every `code` thrown by this package. Messages may change in any release; a code only in a major one. */
export type ErrorCode = SallyportErrors['code'];

/** A union that narrows on `code`. */
export type SallyportErrors =
  | BrokerClosed
  | BrokerDenied
  | BrokerViolation
  | ConfigRefused
  | DagInvalid
  | EnforcementPartial
  | KernelUnsupported
  | KeyAgentFailed
  | LogRefused
  | PolicyInvalid
  | SecretDestroyed
  | SecretRefused
  | StartRefused
  | SupervisorClosed
  | TaskExitUnknown
  | TaskLimitExceeded
  | TaskStartFailed
  | TaskTimeout
  | TokenInvalid
  | TokenRefused
  | UpstreamFailed
  | UpstreamUnreachable
  | WorkloadInvalid;

/** The base of every error with a meaning of our own. Misuse is Node's `ERR_INVALID_ARG_TYPE`; a refusal by the kernel stays a system error. */
export abstract class SallyportError extends Error {
  static {
    Object.defineProperty(this.prototype, 'name', { value: 'SallyportError', writable: true, configurable: true });
  }
  abstract readonly code: string;
}

function named(prototype: object, name: string): void {
  Object.defineProperty(prototype, 'name', { value: name, writable: true, configurable: true });
}

/** This host lacks something that the call cannot do without. */
export class KernelUnsupported extends SallyportError {
  static { named(this.prototype, 'KernelUnsupported'); }
  readonly code = 'ERR_KERNEL_UNSUPPORTED';
  readonly facility: string;
  constructor(facility: string, detail: string, options?: ErrorOptions) {
    super(`${facility} is not available: ${detail}`, options);
    this.facility = facility;
  }
}

/** A guarantee that was asked for does not hold on this host, or cannot be shown to hold. */
export class EnforcementPartial extends SallyportError {
  static { named(this.prototype, 'EnforcementPartial'); }
  readonly code = 'ERR_ENFORCEMENT_PARTIAL';
  readonly guarantee: GuaranteeName;
  readonly missing: string;
  constructor(guarantee: GuaranteeName, missing: string, options?: ErrorOptions) {
    super(`guarantee "${guarantee}" does not hold: ${missing}`, options);
    this.guarantee = guarantee;
    this.missing = missing;
  }
}

/** A policy field is wrong. `path` says which, as in `limits.openFiles`; it is empty where the whole is. */
export class PolicyInvalid extends SallyportError {
  static { named(this.prototype, 'PolicyInvalid'); }
  readonly code = 'ERR_POLICY_INVALID';
  readonly path: string;
  readonly problem: string;
  /** The file it was read from, if it was. */
  readonly file: string | undefined;
  constructor(path: string, problem: string, { file, ...options }: ErrorOptions & { readonly file?: string } = {}) {
    super(`${file === undefined ? '' : `${file}: `}${path === '' ? 'the policy' : `policy.${path}`} ${problem}`, options);
    this.path = path;
    this.problem = problem;
    this.file = file;
  }
}

/** A step between clone and execve failed. The task's program did not run and nothing is left behind. */
export class TaskStartFailed extends SallyportError {
  static { named(this.prototype, 'TaskStartFailed'); }
  readonly code = 'ERR_TASK_START';
  /** The step as docs/errors.md lists them: `landlock`, `seccomp`, `execve` ... */
  readonly step: string;
  constructor(step: string, problem: string, options?: ErrorOptions) {
    super(`the task was not started: step "${step}" failed: ${problem}`, options);
    this.step = step;
  }
}

/** The task has ended, and how could not be learnt: something else in this process waits for every child, and took its status. */
export class TaskExitUnknown extends SallyportError {
  static { named(this.prototype, 'TaskExitUnknown'); }
  readonly code = 'ERR_TASK_EXIT_UNKNOWN';
  constructor(options?: ErrorOptions) {
    super('the task has ended, but another waiter in this process took its exit status', options);
  }
}

/** Limits of a policy that end a task; `wallTimeMs` has an error of its own. */
export type LimitName = 'memoryBytes' | 'processes' | 'openFiles' | 'cpuSeconds' | 'fileBytes' | 'scratchBytes' | 'scratchFiles' | 'outputBytes' | 'logLineBytes';

/** The task used more than its policy allows, and was killed with all it had started. */
export class TaskLimitExceeded extends SallyportError {
  static { named(this.prototype, 'TaskLimitExceeded'); }
  readonly code = 'ERR_TASK_LIMIT';
  /** The limit by its name in the policy; `outputBytes` may also be that of `task.output()`. */
  readonly limit: LimitName;
  constructor(limit: LimitName, options?: ErrorOptions) {
    super(`the task went past its limit of ${limit}`, options);
    this.limit = limit;
  }
}

/** A time limit of the policy ran out and the task was killed. */
export class TaskTimeout extends SallyportError {
  static { named(this.prototype, 'TaskTimeout'); }
  readonly code = 'ERR_TASK_TIMEOUT';
  /** The limit by its name in the policy. */
  readonly limit: string;
  constructor(limit: string, valueMs: number, options?: ErrorOptions) {
    super(`the task ran longer than ${limit} allows (${valueMs} ms)`, options);
    this.limit = limit;
  }
}

/** The task asked for a method, or a value of it, that its grants do not cover. */
export class BrokerDenied extends SallyportError {
  static { named(this.prototype, 'BrokerDenied'); }
  readonly code = 'ERR_BROKER_DENIED';
  readonly method: string;
  constructor(method: string, reason = "is not granted by the task's permissions", options?: ErrorOptions) {
    super(`method "${method}" ${reason}`, options);
    this.method = method;
  }
}

/** Bytes on the channel that are not a request: the task is ended. */
export class BrokerViolation extends SallyportError {
  static { named(this.prototype, 'BrokerViolation'); }
  readonly code = 'ERR_BROKER_VIOLATION';
  /** What was there that must not be. */
  readonly violation: string;
  constructor(violation: string, options?: ErrorOptions) {
    super(`the task broke the channel's protocol: ${violation}`, options);
    this.violation = violation;
  }
}

/** The channel is closed: the other side ended, or was ended. */
export class BrokerClosed extends SallyportError {
  static { named(this.prototype, 'BrokerClosed'); }
  readonly code = 'ERR_BROKER_CLOSED';
  constructor(detail = 'the channel is closed', options?: ErrorOptions) {
    super(detail, options);
  }
}

/** The Execution API answered, and refused or failed. */
export class UpstreamFailed extends SallyportError {
  static { named(this.prototype, 'UpstreamFailed'); }
  readonly code = 'ERR_UPSTREAM_FAILED';
  readonly status: number;
  /** The server's own `detail.reason`, when it gave one. */
  readonly reason: string | undefined;
  constructor(request: string, status: number, reason?: string, options?: ErrorOptions) {
    super(`${request} was answered ${status}${reason === undefined ? '' : ` (${reason})`}`, options);
    this.status = status;
    this.reason = reason;
  }
}

/** The Execution API did not answer, or not with HTTP we can read. */
export class UpstreamUnreachable extends SallyportError {
  static { named(this.prototype, 'UpstreamUnreachable'); }
  readonly code = 'ERR_UPSTREAM_UNREACHABLE';
  /** The code of a system, TLS or HTTP error, such as `ECONNREFUSED`; else words. */
  readonly problem: string;
  constructor(request: string, problem: string, options?: ErrorOptions) {
    super(`${request} got no usable answer: ${problem}`, options);
    this.problem = problem;
  }
}

/** The secret's memory was wiped; nothing can bring it back. */
export class SecretDestroyed extends SallyportError {
  static { named(this.prototype, 'SecretDestroyed'); }
  readonly code = 'ERR_SECRET_DESTROYED';
  constructor() {
    super('this secret was destroyed');
  }
}

/** A source of a secret is missing, empty or too open. The value is never part of the message. */
export class SecretRefused extends SallyportError {
  static { named(this.prototype, 'SecretRefused'); }
  readonly code = 'ERR_SECRET_REFUSED';
  readonly source: string;
  readonly problem: string;
  constructor(source: string, problem: string, options?: ErrorOptions) {
    super(`secret from ${source} is refused: ${problem}`, options);
    this.source = source;
    this.problem = problem;
  }
}

/** What is wrong with a configuration, by the kind of mistake. */
export type ConfigRule = 'secret-in-file' | 'wrong-role' | 'command' | 'secrets-backend' | 'too-open' | 'missing' | 'syntax' | 'value';

/** One mistake of a configuration. No field holds a value of it. */
export interface ConfigFinding {
  readonly rule: ConfigRule;
  /** `refused` where it keeps the configuration from being used; `warning` where `securityIsolation: false` lets it pass. */
  readonly severity: 'refused' | 'warning';
  /** `api_auth.jwt_secret`; undefined where it is about a file or a folder. */
  readonly option: string | undefined;
  /** A variable's name, what handed it over, `FILE:LINE`, or a path. */
  readonly place: string;
  readonly role: string;
  readonly problem: string;
  readonly remedy: string;
}

/** A configuration that a role must not be started with. Its message has a line for each finding, all of them at once. */
export class ConfigRefused extends SallyportError {
  static { named(this.prototype, 'ConfigRefused'); }
  readonly code = 'ERR_CONFIG_REFUSED';
  readonly role: string;
  /** The file that was read, if one was. */
  readonly file: string | undefined;
  readonly securityIsolation: boolean;
  /** Warnings as well. */
  readonly findings: readonly ConfigFinding[];
  constructor(role: string, facts: { readonly file: string | undefined; readonly securityIsolation: boolean; readonly findings: readonly ConfigFinding[] }, options?: ErrorOptions) {
    const refused = facts.findings.filter(({ severity }) => severity === 'refused');
    const lines = refused.map(({ option, place, problem, remedy }) => `\n  ${option === undefined ? '' : `${option}, `}${place}: ${problem}; ${remedy}`);
    super(`the configuration of role "${role}" is refused:${lines.join('')}`, options);
    this.role = role;
    this.file = facts.file;
    this.securityIsolation = facts.securityIsolation;
    this.findings = facts.findings;
  }
}

/** `sallyport exec` starts nothing: something about this process or the request would undo what it is for. No secret was read. */
export class StartRefused extends SallyportError {
  static { named(this.prototype, 'StartRefused'); }
  readonly code = 'ERR_START_REFUSED';
  constructor(problem: string, options?: ErrorOptions) {
    super(`the supervisor is not started: ${problem}`, options);
  }
}

/** A supervisor that drains, was stopped or disposed of takes no more: nothing was started, and the workload is another one's to run. */
export class SupervisorClosed extends SallyportError {
  static { named(this.prototype, 'SupervisorClosed'); }
  readonly code = 'ERR_SUPERVISOR_CLOSED';
  constructor(detail: string, options?: ErrorOptions) {
    super(`the supervisor ${detail}`, options);
  }
}

/** A token that its verifier does not accept. `reason` is a stable word; the token is never part of the message. */
export class TokenInvalid extends SallyportError {
  static { named(this.prototype, 'TokenInvalid'); }
  readonly code = 'ERR_TOKEN_INVALID';
  readonly reason: string;
  constructor(reason: string, options?: ErrorOptions) {
    super(`the token is not accepted: ${reason}`, options);
    this.reason = reason;
  }
}

/** The issuer's policy does not allow such a token; none was signed. */
export class TokenRefused extends SallyportError {
  static { named(this.prototype, 'TokenRefused'); }
  readonly code = 'ERR_TOKEN_REFUSED';
  /** What was asked for too much of: `sub`, `scope`, `dag_id`, `lifetimeSeconds`. */
  readonly field: string;
  readonly problem: string;
  constructor(field: string, problem: string, options?: ErrorOptions) {
    super(`no token was signed: ${field} ${problem}`, options);
    this.field = field;
    this.problem = problem;
  }
}

/** The key agent did not start, has ended, or does not answer. */
export class KeyAgentFailed extends SallyportError {
  static { named(this.prototype, 'KeyAgentFailed'); }
  readonly code = 'ERR_KEY_AGENT';
  /** The code of what the agent itself could not do, as `ERR_SECRET_REFUSED`; or `ended`, `timeout`. */
  readonly reason: string;
  constructor(reason: string, problem: string, options?: ErrorOptions) {
    super(`the key agent failed: ${problem}`, options);
    this.reason = reason;
  }
}

/** What a task writes cannot be kept where it should. Nothing was started. */
export class LogRefused extends SallyportError {
  static { named(this.prototype, 'LogRefused'); }
  readonly code = 'ERR_LOG_REFUSED';
  /** The file or folder that is in the way. */
  readonly path: string;
  readonly problem: string;
  constructor(path: string, problem: string, options?: ErrorOptions) {
    super(`the log cannot be kept: ${path} ${problem}`, options);
    this.path = path;
    this.problem = problem;
  }
}

/** A workload that is not one. `path` says which field, as in `ti.id`. */
export class WorkloadInvalid extends SallyportError {
  static { named(this.prototype, 'WorkloadInvalid'); }
  readonly code = 'ERR_WORKLOAD_INVALID';
  readonly path: string;
  /** What is wrong with it, as the message has it behind the field. */
  readonly problem: string;
  constructor(path: string, problem: string, options?: ErrorOptions) {
    super(`workload${path === '' ? '' : `.${path}`} ${problem}`, options);
    this.path = path;
    this.problem = problem;
  }
}

/** A DAG's declaration is wrong. `path` says which field, as in `tasks.load.after[0]`; it is empty where the whole is. */
export class DagInvalid extends SallyportError {
  static { named(this.prototype, 'DagInvalid'); }
  readonly code = 'ERR_DAG_INVALID';
  readonly path: string;
  readonly problem: string;
  constructor(path: string, problem: string, options?: ErrorOptions) {
    super(`${path === '' ? 'the DAG' : path} ${problem}`, options);
    this.path = path;
    this.problem = problem;
  }
}

/** Node's own shape for a wrong argument. */
export function invalidArgument(name: string, expected: string, actual: unknown): TypeError {
  const kind = actual === null ? 'null' : Array.isArray(actual) ? (actual.length === 0 ? 'an empty array' : 'an array') : typeof actual;
  return Object.assign(new TypeError(`"${name}" must be ${expected}; got ${kind}`), { code: 'ERR_INVALID_ARG_TYPE' as const });
}

/** Node's own shape for a number or string outside what is allowed. The value is not repeated: it may be a secret. */
export function outOfRange(name: string, expected: string): RangeError {
  return Object.assign(new RangeError(`"${name}" must be ${expected}`), { code: 'ERR_OUT_OF_RANGE' as const });
}

/**
 * Accepts an object with no other fields than the named ones: a misspelt option would be one that silently does nothing.
 *
 * @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`.
 */
export function checkOptions(name: string, value: unknown, fields: readonly string[]): asserts value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalidArgument(name, 'an object', value);
  const unknown = Object.keys(value).find((field) => !fields.includes(field));
  if (unknown !== undefined) throw outOfRange(`${name}.${unknown.slice(0, 40)}`, `one of ${fields.join(', ')}`);
}
