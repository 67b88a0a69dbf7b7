/** The parts of an Airflow deployment, by the names of its commands. */
export const roles = ['api-server', 'scheduler', 'worker', 'dag-processor', 'triggerer'] as const;
export type Role = (typeof roles)[number];

/** An option whose value is a secret, and who needs it. */
export interface SensitiveOption {
  readonly section: string;
  readonly key: string;
  readonly what: string;
  readonly roles: readonly Role[];
  /** What only a role that opens the database itself needs: not one that goes through the API. */
  readonly database?: true;
  /** Where older releases had it; Airflow still reads it there. */
  readonly was?: readonly string[];
}

/**
 * Airflow's options with `sensitive: true`, and those of its providers. The roles are those of Airflow's security model
 * (docs/security/security_model.rst, "Needed by"), but for two rows: the API server serves connections from the secrets
 * backend and reads remote logs, so that it needs those two as well. Providers' rows say who talks to the service.
 */
export const sensitiveOptions: readonly SensitiveOption[] = [
  { section: 'api', key: 'secret_key', what: 'the key that signs requests for logs', roles: ['api-server', 'scheduler', 'worker', 'triggerer'], was: ['webserver.secret_key'] },
  { section: 'api_auth', key: 'jwt_secret', what: 'the key that signs every token', roles: ['api-server', 'scheduler'] },
  { section: 'core', key: 'asset_manager_kwargs', what: 'credentials of the asset manager', roles: ['dag-processor'] },
  { section: 'core', key: 'fernet_key', what: 'the key of stored connections and variables', roles },
  { section: 'database', key: 'sql_alchemy_conn', what: 'the URL of the metadata database', roles: ['api-server', 'scheduler', 'dag-processor', 'triggerer'], database: true, was: ['core.sql_alchemy_conn'] },
  { section: 'database', key: 'sql_alchemy_conn_async', what: 'the URL of the metadata database', roles: ['api-server', 'scheduler', 'dag-processor', 'triggerer'], database: true },
  { section: 'database', key: 'sql_alchemy_engine_args', what: 'parameters of the metadata database', roles: ['api-server', 'scheduler', 'dag-processor', 'triggerer'], database: true },
  { section: 'logging', key: 'remote_task_handler_kwargs', what: 'credentials of remote logs', roles: ['api-server', 'scheduler', 'worker', 'triggerer'] },
  { section: 'secrets', key: 'backend_kwargs', what: 'credentials of the secrets backend', roles: ['api-server', 'scheduler', 'dag-processor', 'triggerer'] },
  { section: 'sentry', key: 'sentry_dsn', what: 'where errors are reported', roles: ['scheduler', 'triggerer'] },
  { section: 'workers', key: 'secrets_backend_kwargs', what: 'credentials of the workers\' secrets backend', roles: ['worker'] },
  { section: 'celery', key: 'broker_url', what: 'the URL of the queue', roles: ['scheduler', 'worker'] },
  { section: 'celery', key: 'result_backend', what: 'the URL of the results', roles: ['scheduler', 'worker'] },
  { section: 'celery', key: 'flower_basic_auth', what: 'the password of Flower, which is none of these roles', roles: [] },
  { section: 'celery_broker_transport_options', key: 'sentinel_kwargs', what: 'the password of Redis Sentinel', roles: ['scheduler', 'worker'] },
  { section: 'celery_result_backend_transport_options', key: 'sentinel_kwargs', what: 'the password of Redis Sentinel', roles: ['scheduler', 'worker'] },
  { section: 'keycloak_auth_manager', key: 'client_secret', what: 'the secret of the Keycloak client', roles: ['api-server'] },
  { section: 'opensearch', key: 'username', what: 'who reads and writes logs', roles: ['api-server', 'worker', 'triggerer'] },
  { section: 'opensearch', key: 'password', what: 'the password of the logs', roles: ['api-server', 'worker', 'triggerer'] },
];

/** Options that name a file with a key in it: the file is looked at, not read. */
export const keyFileOptions: readonly Omit<SensitiveOption, 'database' | 'was'>[] = [
  { section: 'api', key: 'ssl_key', what: 'the key of the API server\'s certificate', roles: ['api-server'] },
  { section: 'api', key: 'client_ssl_key', what: 'the key of a client\'s certificate', roles },
  { section: 'api_auth', key: 'jwt_private_key_path', what: 'the key that signs every token', roles: ['api-server', 'scheduler'] },
  { section: 'celery', key: 'ssl_key', what: 'the key of a client\'s certificate', roles: ['scheduler', 'worker'] },
  { section: 'kerberos', key: 'keytab', what: 'the keys of a Kerberos principal', roles },
];

/** Names by which other options, of a provider or of a user, are taken for secrets. */
const secretNames = /(^|_)(passw(or)?d|passphrase|secret|secret_?key|access_?key|api_?key|private_key|token|access_token|connection_string|keyfile_dict|credentials|dsn|basic_auth)$/;
/** Options of Airflow that only sound like one. */
const notSecret: ReadonlySet<string> = new Set(['logging.min_length_masked_secret']);

/** `api_auth.jwt_secret`: as findings and documents write it. */
export const optionId = (section: string, key: string): string => `${section}.${key}`;

const known = new Map(sensitiveOptions.flatMap((option) => [optionId(option.section, option.key), ...(option.was ?? [])].map((id) => [id, option] as const)));

/** Of `team_a=celery`, which is how Airflow writes a team's own section, `celery`. */
const withoutTeam = (section: string): string => section.slice(section.indexOf('=') + 1);

/** What an option is to us: it holds a secret, or says by which command or path of a secrets backend Airflow gets one. */
export interface Classified {
  readonly kind: 'value' | 'command' | 'backend';
  readonly option: SensitiveOption;
}

/**
 * Undefined for an option that holds no secret. One that is in no table and whose name says that it does is taken for one that
 * any role may have, for who needs it is not known.
 */
export function classify(section: string, key: string): Classified | undefined {
  const plain = withoutTeam(section);
  const rowOf = (name: string): SensitiveOption | undefined =>
    // What stands in [DEFAULT] is in every section.
    plain === 'default' ? sensitiveOptions.find((option) => option.key === name) : known.get(optionId(plain, name));
  const row = rowOf(key);
  if (row !== undefined) return { kind: 'value', option: row };
  // Airflow looks at these endings for the options of its tables alone.
  const [, base = '', ending] = /^(.+)_(cmd|secret)$/.exec(key) ?? [];
  const variant = rowOf(base);
  if (variant !== undefined) return { kind: ending === 'cmd' ? 'command' : 'backend', option: variant };
  // A provider's table is not known here.
  if (ending === 'cmd' && secretNames.test(base)) return { kind: 'command', option: { section: plain, key: base, what: 'a secret, by its name', roles } };
  if (!secretNames.test(key) || notSecret.has(optionId(plain, key))) return undefined;
  return { kind: 'value', option: { section: plain, key, what: 'a secret, by its name', roles } };
}

/** The rows for an option that names a key file: several where `[DEFAULT]` sets what more than one section has. */
export function keyFilesOf(section: string, key: string): readonly (typeof keyFileOptions)[number][] {
  const plain = withoutTeam(section);
  return keyFileOptions.filter((option) => option.key === key && (plain === 'default' || plain === option.section));
}

/** The section and key by which newer releases know an option. */
export function currentName(section: string, key: string): readonly [section: string, key: string] {
  const row = known.get(optionId(section, key));
  return row === undefined ? [section, key] : [row.section, row.key];
}

/** Whether a variable of any program's holds a secret, by its name. */
export const soundsSecret = (variable: string): boolean => secretNames.test(variable.toLowerCase());
