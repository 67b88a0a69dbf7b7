import { keyFileOptions, sensitiveOptions, type Role } from './options.js';
import { needs } from './rules.js';
import { sallyportOptions } from './sallyport.js';
import { variableOf } from './variables.js';

interface PlainOption {
  readonly section: string;
  readonly key: string;
  /** As Airflow has it; undefined where it has none. */
  readonly fallback: string | undefined;
  readonly what: string;
  readonly roles: readonly Role[];
}

const api: readonly Role[] = ['api-server'];
const issuers: readonly Role[] = ['api-server', 'scheduler'];
const clients: readonly Role[] = ['worker', 'dag-processor', 'triggerer'];
const all: readonly Role[] = ['api-server', 'scheduler', 'worker', 'dag-processor', 'triggerer'];

/** Options without a secret that a role is usually given, with Airflow's own defaults (config.yml of 3.x). */
const plainOptions: readonly PlainOption[] = [
  { section: 'core', key: 'dags_folder', fallback: undefined, what: 'code of tasks; AIRFLOW_HOME/dags by default', roles: ['worker', 'dag-processor', 'triggerer'] },
  { section: 'core', key: 'plugins_folder', fallback: undefined, what: 'code that every role loads, and nobody else may change; AIRFLOW_HOME/plugins by default', roles: all },
  { section: 'core', key: 'executor', fallback: 'LocalExecutor', what: 'what starts tasks', roles: ['scheduler'] },
  { section: 'core', key: 'execution_api_server_url', fallback: undefined, what: 'as https://airflow.example.org/execution/', roles: ['scheduler', ...clients] },
  { section: 'core', key: 'hide_sensitive_var_conn_fields', fallback: 'True', what: 'mask values by their names', roles: all },
  { section: 'core', key: 'sensitive_var_conn_names', fallback: '', what: 'more names to mask, with commas between', roles: all },
  { section: 'core', key: 'task_success_overtime', fallback: '20', what: 'seconds that a task may go on after its success', roles: ['worker'] },
  { section: 'api', key: 'base_url', fallback: undefined, what: 'as users reach it', roles: ['api-server', 'scheduler', 'worker'] },
  { section: 'api', key: 'host', fallback: '0.0.0.0', what: 'address to listen on', roles: api },
  { section: 'api', key: 'port', fallback: '8080', what: 'port to listen on', roles: api },
  { section: 'api', key: 'ssl_cert', fallback: '', what: 'its certificate', roles: api },
  { section: 'api_auth', key: 'jwt_algorithm', fallback: undefined, what: 'EdDSA, ES256, RS256 or HS512', roles: issuers },
  { section: 'api_auth', key: 'jwt_issuer', fallback: undefined, what: 'iss of every token', roles: issuers },
  { section: 'api_auth', key: 'jwt_audience', fallback: undefined, what: 'aud of tokens for the public API', roles: issuers },
  { section: 'api_auth', key: 'jwt_kid', fallback: undefined, what: 'which key signs', roles: issuers },
  { section: 'api_auth', key: 'trusted_jwks_url', fallback: undefined, what: 'public keys to trust', roles: issuers },
  { section: 'api_auth', key: 'jwt_leeway', fallback: '10', what: 'seconds by which clocks may differ', roles: issuers },
  { section: 'api_auth', key: 'jwt_expiration_time', fallback: '86400', what: 'seconds', roles: api },
  { section: 'execution_api', key: 'jwt_audience', fallback: 'urn:airflow.apache.org:task', what: 'aud of tokens for tasks', roles: issuers },
  { section: 'execution_api', key: 'jwt_expiration_time', fallback: '600', what: 'seconds', roles: issuers },
  { section: 'scheduler', key: 'task_queued_timeout', fallback: '600.0', what: 'seconds', roles: ['scheduler'] },
  { section: 'workers', key: 'min_heartbeat_interval', fallback: '5', what: 'seconds', roles: ['worker'] },
  { section: 'workers', key: 'max_failed_heartbeats', fallback: '3', what: 'in a row, before the task is ended', roles: ['worker'] },
  { section: 'workers', key: 'execution_api_retries', fallback: '5', what: 'attempts of one request', roles: clients },
  { section: 'workers', key: 'execution_api_retry_wait_min', fallback: '1.0', what: 'seconds', roles: clients },
  { section: 'workers', key: 'execution_api_retry_wait_max', fallback: '90.0', what: 'seconds', roles: clients },
  { section: 'dag_processor', key: 'refresh_interval', fallback: '300', what: 'seconds between looks at a bundle', roles: ['dag-processor'] },
  { section: 'dag_processor', key: 'parsing_processes', fallback: '2', what: 'files parsed at once', roles: ['dag-processor'] },
  { section: 'dag_processor', key: 'min_file_process_interval', fallback: '30', what: 'seconds', roles: ['dag-processor'] },
  { section: 'dag_processor', key: 'dag_file_processor_timeout', fallback: '50', what: 'seconds', roles: ['dag-processor'] },
  { section: 'triggerer', key: 'capacity', fallback: '1000', what: 'triggers at once', roles: ['triggerer'] },
  { section: 'triggerer', key: 'job_heartbeat_sec', fallback: '5', what: 'seconds', roles: ['triggerer'] },
];

/** One option of a role's configuration. */
export interface Default {
  readonly section: string;
  readonly key: string;
  readonly what: string;
  /** Of one that holds a secret: the only place that it may come from. */
  readonly variable: string | undefined;
  /** Undefined: not set. */
  readonly value: string | undefined;
}

/** What a role may be configured with, by section; no secret among the values. */
export function defaults(role: Role): readonly Default[] {
  const plain = [...plainOptions, ...keyFileOptions.map((option) => ({ ...option, fallback: undefined }))].filter((option) => option.roles.includes(role));
  const own = Object.entries(sallyportOptions).map(([key, { fallback, what }]) => ({ section: 'sallyport', key, what, fallback }));
  const secret = sensitiveOptions.filter((option) => needs(role, option, true));
  const rows = [
    ...plain.map(({ section, key, what, fallback }): Default => ({ section, key, what, variable: undefined, value: fallback })),
    ...secret.map(({ section, key, what }): Default => ({ section, key, what, variable: variableOf(section, key), value: undefined })),
    ...own.map(({ section, key, what, fallback }): Default => ({ section, key, what, variable: undefined, value: fallback })),
  ];
  const sections = [...new Set(rows.map(({ section }) => section))].sort();
  return sections.flatMap((section) => rows.filter((row) => row.section === section));
}

/** The same as an airflow.cfg. */
export function defaultsAsFile(role: Role): string {
  const lines = [
    `# airflow.cfg of a ${role}, and of no other role. No secret belongs into it: each comes from the variable`,
    '# named in its place, of this process alone, or is handed over by systemd or `sallyport exec`.',
  ];
  let section = '';
  for (const row of defaults(role)) {
    if (row.section !== section) lines.push('', `[${(section = row.section)}]`);
    const value = (row.value ?? '').replaceAll('%', '%%');
    if (row.variable !== undefined) lines.push(`# ${row.key}: ${row.what}. Not here: ${row.variable}`);
    else lines.push(`# ${row.what}`, row.value === undefined ? `# ${row.key} =` : `${row.key} = ${value}`.trimEnd());
  }
  return `${lines.join('\n')}\n`;
}
