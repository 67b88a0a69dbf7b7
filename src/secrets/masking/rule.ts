/** Airflow's DEFAULT_SENSITIVE_FIELDS. */
export const defaultSensitiveNames: readonly string[] = Object.freeze([
  'access_key', 'access_token', 'api_key', 'apikey', 'authorization', 'connection_string', 'keyfile_dict', 'passphrase', 'passwd', 'password',
  'private_key', 'proxies', 'proxy', 'proxy_password', 'secret', 'service_account', 'token',
]);

/** Whether a field's name is one of them or contains one, in any case, as Airflow decides it. */
export type IsSensitive = (name: string) => boolean;

export function sensitiveNames(further: readonly string[]): IsSensitive {
  const names = [...defaultSensitiveNames, ...further.map((name) => name.trim().toLowerCase()).filter((name) => name !== '')];
  // One search for all of them: a line of a task's can have ten thousand names.
  const any = new RegExp(names.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'));
  return (name) => any.test(name.toLowerCase());
}

/** More than any log record nests. Beyond it nothing is shown, where Airflow, from 5 on, shows all. */
export const deepest = 64;

const blank = (byte: number | undefined): boolean => byte === 10 || byte === 13;

/** Without the line ends behind it. */
export function trimmed(value: Uint8Array): Uint8Array {
  let end = value.length;
  while (end > 0 && blank(value[end - 1])) end--;
  return value.subarray(0, end);
}

export interface MaskRuleOptions {
  readonly minLength?: number;
  readonly skip?: readonly string[];
  readonly sensitiveNames?: readonly string[];
}

/** Which values are hidden of what is to be: of this nothing but plain code is needed, so that a task's fake can tell the same. */
export class MaskRule {
  readonly minLength: number;
  readonly isSensitive: IsSensitive;
  readonly #skip: readonly string[];

  constructor({ minLength = 5, skip = ['airflow'], sensitiveNames: names = [] }: MaskRuleOptions = {}) {
    this.minLength = minLength;
    this.isSensitive = sensitiveNames(names);
    this.#skip = skip.map((word) => word.toLowerCase());
  }

  /** Every string, number, run of bytes and whatever else `isValue` says in `value` that is under a sensitive name, or under none at all. */
  *values<T extends object = never>(value: unknown, name: string | undefined, isValue: (value: object) => value is T, depth = 0): Generator<T | string | Uint8Array, void, undefined> {
    if (depth > deepest) return;
    const isHidden = name === undefined || this.isSensitive(name);
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') {
      if (isHidden) yield String(value);
    } else if (typeof value !== 'object' || value === null) {
      return;
    } else if (value instanceof Uint8Array || isValue(value)) {
      if (isHidden) yield value;
    } else if (Array.isArray(value) || value instanceof Set) {
      for (const item of value as Iterable<unknown>) yield* this.values(item, name, isValue, depth + 1);
    } else {
      const own = name !== undefined && isHidden ? name : undefined;
      for (const [key, item] of value instanceof Map ? value : Object.entries(value)) yield* this.values(item, own ?? String(key), isValue, depth + 1);
    }
  }

  /** Whether bytes are hidden: not if they are too few characters, since those come up in ordinary words, or are to be skipped. */
  hides(bytes: Uint8Array): boolean {
    return !this.#isShort(bytes) && !this.#skips(bytes);
  }

  /** Counts characters, not bytes. */
  #isShort(bytes: Uint8Array): boolean {
    let characters = 0;
    for (const byte of bytes) if ((byte & 0xc0) !== 0x80 && ++characters >= this.minLength) return false;
    return true;
  }

  #skips(bytes: Uint8Array): boolean {
    return this.#skip.some((word) => word.length === bytes.length && bytes.every((byte, at) => String.fromCharCode(byte).toLowerCase() === word[at]));
  }
}
