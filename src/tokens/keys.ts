import { webcrypto } from 'node:crypto';
import { decodeProtectedHeader } from 'jose';
import { checkOptions, outOfRange } from '../errors.js';
import type { Secret } from '../secrets/secret.js';

/** RFC 7518 section 3.2: a key for HS512 is at least as long as its hash. */
export const minKeyBytes = 64;

/** Airflow's `kid` for a symmetric key without a name. */
export const unnamed = 'not-used';

/**
 * Imports an HS512 key. WebCrypto copies it to OpenSSL's heap, outside secret memory, and promises no wiping:
 * whoever signs is a process that hardens itself. A KeyObject would be worse, for jose exports one to JavaScript's heap at every call.
 */
export function importHmacKey(bytes: Uint8Array, usages: ('sign' | 'verify')[]): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-512' }, false, usages);
}

/** An HS512 key, and the name that tokens call it by. */
export interface NamedSecret {
  /** At least 64 bytes. It stays the caller's. */
  readonly key: Secret;
  /** In the header of every token that it signs: up to 128 printable characters, no secret, and another one for each key. */
  readonly kid: string;
}

/** @throws {RangeError} `ERR_OUT_OF_RANGE`: a key is too short or is PEM, a name is none or is given twice. */
export function checkKeys(keys: readonly NamedSecret[]): void {
  for (const [at, each] of keys.entries()) {
    checkOptions('key', each, ['key', 'kid']);
    checkKey(each.key);
    if (typeof each.kid !== 'string' || !/^[\x21-\x7e]{1,128}$/.test(each.kid)) throw outOfRange('kid', 'up to 128 printable characters');
    if (keys.findIndex(({ kid }) => kid === each.kid) !== at) throw outOfRange('kid', `another one for each key; two are named ${each.kid}`);
  }
}

/** The one that a token names. One alone verifies whatever a token says, as Airflow's does; several need names. */
export function keyNamed<T extends { readonly kid: string }>(keys: readonly T[], token: string): T | undefined {
  return keys.length === 1 ? keys[0] : keys.find(({ kid }) => kid === kidOf(token));
}

function kidOf(token: string): string | undefined {
  try {
    return decodeProtectedHeader(token).kid;
  } catch {
    return undefined; // jose says what is wrong with it
  }
}

export function checkKey(key: Secret): void {
  if (key.byteLength < minKeyBytes) throw outOfRange('key', `a secret of at least ${minKeyBytes} bytes for HS512`);
  // RFC 8725 section 2.1: HMAC with a public key's text lets everybody sign.
  const isPem = key.use(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength).includes('-----BEGIN '));
  if (isPem) throw outOfRange('key', 'the bytes of an HS512 key, not PEM, which a KeyAgent takes');
}
