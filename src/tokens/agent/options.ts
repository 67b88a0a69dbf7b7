import { Value } from '@sinclair/typebox/value';
import type { TSchema } from '@sinclair/typebox';
import { checkOptions, invalidArgument, outOfRange } from '../../errors.js';
import type { HardenOptions } from '../../harden/harden.js';
import { Secret } from '../../secrets/secret.js';
import { type Algorithm, defaultAudience, executionLifetimeSeconds, type TokenScope } from '../claims.js';
import { AgentPolicy, Configuration, maxLineBytes } from './protocol.js';

/** Where the agent gets a key from, so that this process need not have it. */
export type SecretSource =
  /** The agent reads it, by ssh's rules: `Secret.fromFile`. No task of this process is ever granted the file. */
  | { readonly file: string }
  /** A file of systemd's `LoadCredential=`, which the agent reads: `Secret.fromCredential`. */
  | { readonly credential: string }
  /** Inherited, and handed on unread; it is closed here. */
  | { readonly descriptor: number }
  /** Already in this process, as after `Secret.fromEnv`: its bytes are written to the agent, and it is destroyed here. */
  | { readonly secret: Secret };

/** PEM without a passphrase (Ed25519, P-256, RSA), a private JWK, or at least 64 bytes for HS512. */
export type KeyOption = SecretSource & {
  /** Refused where the key is of another. @default what the key is made for */
  readonly algorithm?: Algorithm;
  /** The key's name in the header of tokens. @default the JWK's; RFC 7638's thumbprint; 'not-used' for HS512, as Airflow */
  readonly kid?: string;
};

export interface KeyAgentOptions {
  /** The key that signs. */
  readonly key: KeyOption;
  /** Keys that tokens may have been, or will be, signed with: they verify and are in the JWKS. Each has a `kid` of its own. */
  readonly otherKeys?: readonly KeyOption[];
  /** The claim `iss` of every token. @default no such claim */
  readonly issuer?: string;
  /** The claim `aud` of every token. @default 'urn:airflow.apache.org:task' */
  readonly audience?: string;
  /** @default both */
  readonly scopes?: readonly TokenScope[];
  /** A token that is to live longer is refused. @default 1800, as a server's execution tokens live */
  readonly maxLifetimeSeconds?: number;
  /** The task instances that tokens may speak for; at most 1000. @default any */
  readonly subjects?: readonly string[];
  /** The DAGs that tokens may name, and must; at most 200. @default any, or none */
  readonly dagIds?: readonly string[];
  /** How the agent hardens itself, as in `harden()`. @default level 'standard', with all of it */
  readonly harden?: HardenOptions;
  /** An agent that does not answer within it is ended: its start, and each request. @default 30000 */
  readonly timeoutMs?: number;
}

export interface CheckedOptions {
  readonly keys: readonly KeyOption[];
  readonly policy: AgentPolicy;
  readonly harden: HardenOptions;
  readonly timeoutMs: number;
}

const sources = ['file', 'credential', 'descriptor', 'secret'] as const;

/** The check that the agent makes as well, where it can name the option. @throws TypeError, RangeError. */
export function checkedOptions(options: KeyAgentOptions): CheckedOptions {
  checkOptions('options', options, ['key', 'otherKeys', 'issuer', 'audience', 'scopes', 'maxLifetimeSeconds', 'subjects', 'dagIds', 'harden', 'timeoutMs']);
  const { key, otherKeys = [], issuer, subjects, dagIds, harden = {}, timeoutMs = 30_000 } = options;
  if (!Array.isArray(otherKeys)) throw invalidArgument('options.otherKeys', 'an array', otherKeys);
  checkKeyOption('options.key', key);
  otherKeys.forEach((other, at) => checkKeyOption(`options.otherKeys[${at}]`, other));
  checkOptions('options.harden', harden, ['level', 'without', 'wipeArguments']);
  if (!Number.isFinite(timeoutMs) || timeoutMs <= 0 || timeoutMs > 2 ** 31 - 1) throw outOfRange('options.timeoutMs', 'a number of milliseconds, at most 2147483647');
  const policy = {
    ...(issuer !== undefined && { issuer }),
    audience: options.audience ?? defaultAudience,
    scopes: [...new Set(options.scopes ?? ['execution', 'workload'])] as TokenScope[],
    maxLifetimeSeconds: options.maxLifetimeSeconds ?? executionLifetimeSeconds,
    ...(subjects !== undefined && { subjects: [...subjects] }),
    ...(dagIds !== undefined && { dagIds: [...dagIds] }),
  };
  checkFields('options', AgentPolicy, policy);
  if (JSON.stringify(policy).length > maxLineBytes / 2) throw outOfRange('options', `a policy of at most ${maxLineBytes / 2} characters`);
  return { keys: [key, ...otherKeys], policy, harden, timeoutMs };
}

function checkKeyOption(name: string, key: KeyOption): void {
  checkOptions(name, key, [...sources, 'algorithm', 'kid']);
  const given = sources.filter((source) => source in key);
  if (given.length !== 1) throw outOfRange(name, `a key from one of ${sources.join(', ')}`);
  if ('secret' in key && !(key.secret instanceof Secret)) throw invalidArgument(`${name}.secret`, 'a Secret', key.secret);
  if ('descriptor' in key && !(Number.isInteger(key.descriptor) && key.descriptor > 2)) throw outOfRange(`${name}.descriptor`, 'a descriptor other than the standard ones');
  for (const path of ['file', 'credential'] as const) {
    const value = (key as Record<string, unknown>)[path];
    if (path in key && (typeof value !== 'string' || !/^[^\0]+$/.test(value))) throw outOfRange(`${name}.${path}`, 'a path or name');
  }
  const { algorithm, kid } = key;
  checkFields(name, Configuration.properties.keys.items, { source: { descriptor: 4 }, ...(algorithm !== undefined && { algorithm }), ...(kid !== undefined && { kid }) });
}

/** @throws {RangeError} `ERR_OUT_OF_RANGE`, naming the field and never its value. */
export function checkFields(name: string, schema: TSchema, value: unknown): void {
  const wrong = Value.Errors(schema, value).First();
  if (wrong !== undefined) throw outOfRange(`${name}${wrong.path.replaceAll('/', '.')}`, wrong.message.toLowerCase());
}
