import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { Secret } from '../secrets/secret.js';

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

/**
 * Bytes that only who has the key can read, bound to the digest of what is kept beside them: with another one they do not open.
 * The key derived for it is wiped after each use; while in use it is also in OpenSSL's cipher state.
 *
 * @see NIST SP 800-38D (GCM), RFC 5869 (HKDF)
 */
export function seal(key: Secret, bytes: Uint8Array, beside: Uint8Array): string {
  return withKey(key, (derived) => {
    const nonce = randomBytes(nonceBytes); // at random: good for 2^32 seals with one key
    const cipher = createCipheriv(algorithm, derived, nonce).setAAD(beside);
    return Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]).toString('base64url');
  });
}

/** @throws Where another key sealed it, or anything was changed. */
export function unseal(key: Secret, sealed: string, beside: Uint8Array): Secret {
  return withKey(key, (derived) => {
    const bytes = Buffer.from(sealed, 'base64url');
    const decipher = createDecipheriv(algorithm, derived, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes }).setAAD(beside).setAuthTag(bytes.subarray(-tagBytes));
    const opened = decipher.update(bytes.subarray(nonceBytes, -tagBytes));
    try {
      decipher.final();
      return Secret.fromBytes(opened);
    } finally {
      opened.fill(0);
    }
  });
}

function withKey<T>(key: Secret, use: (derived: Buffer) => T): T {
  const derived = Buffer.from(key.use((bytes) => hkdfSync('sha256', bytes, '', 'sallyport: tokens of kept reports', 32)));
  try {
    return use(derived);
  } finally {
    derived.fill(0);
  }
}
