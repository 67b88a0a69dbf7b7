import { webcrypto } from 'node:crypto';
import { outOfRange } from '../errors.js';
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

export function checkKey(key: Secret): void {
  if (key.byteLength < minKeyBytes) throw outOfRange('key', `a secret of at least ${minKeyBytes} bytes for HS512`);
}
