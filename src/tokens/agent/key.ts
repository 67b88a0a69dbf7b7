/** Reading a signing key. This happens in the agent alone: what it leaves behind it leaves there. */
import { createPrivateKey, createPublicKey, type JsonWebKeyInput, type KeyObject, webcrypto } from 'node:crypto';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { SecretRefused } from '../../errors.js';
import type { Secret } from '../../secrets/secret.js';
import type { Algorithm } from '../claims.js';
import type { SigningKey } from '../compose.js';
import { importHmacKey, minKeyBytes, unnamed } from '../keys.js';
import { algorithms, type PublishedKey } from './protocol.js';

/** RFC 7518 section 3.3. */
const minRsaBits = 2048;

const importParameters = {
  EdDSA: { name: 'Ed25519' },
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
} as const;

export interface LoadedKey extends SigningKey {
  /** The public half; undefined for HS512, which has none. */
  readonly jwk: JWK | undefined;
}

interface Wanted {
  readonly algorithm?: Algorithm | undefined;
  readonly kid?: string | undefined;
}

/**
 * Takes PEM (PKCS #8, PKCS #1 or SEC 1, not encrypted), a private JWK, or anything else as the bytes of an HS512 key,
 * and destroys the secret. PEM and bytes never become a JavaScript string; the values of a JWK do.
 *
 * @param wanted.algorithm Refused where the key is of another. @default what the key is made for, Airflow's GUESS
 * @param wanted.kid @default the JWK's; RFC 7638's thumbprint of the public half; Airflow's 'not-used' for HS512
 * @throws {SecretRefused} `ERR_SECRET_REFUSED`, with `source`.
 */
export async function loadKey(source: string, secret: Secret, wanted: Wanted): Promise<LoadedKey> {
  const refuse = (problem: string): never => {
    throw new SecretRefused(source, problem);
  };
  const read = (bytes: Uint8Array): Promise<LoadedKey> => {
    const buffer = Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
    // RFC 7468 section 2: text may stand before it.
    const pem = buffer.indexOf(pemBegin);
    if (pem >= 0) return asymmetric(fromPem(buffer.subarray(pem), refuse), {}, wanted, refuse);
    refuseOtherForms(buffer, refuse);
    const jwk = jwkIn(buffer, refuse);
    if (jwk === undefined) return symmetric(buffer, {}, wanted, refuse);
    if (jwk.use !== undefined && jwk.use !== 'sig') refuse('it is a JWK for another use than signing');
    if (jwk.kty !== 'oct') return asymmetric(fromJwk(jwk, refuse), jwk, wanted, refuse);
    const decoded = Buffer.from(typeof jwk.k === 'string' ? jwk.k : '', 'base64url');
    return symmetric(decoded, jwk, wanted, refuse).finally(() => decoded.fill(0));
  };
  try {
    return await secret.use(read);
  } finally {
    secret.destroy();
  }
}

/** What the agent tells of its keys. */
export function published({ kid, algorithm, jwk }: LoadedKey): PublishedKey {
  return { kid, algorithm, ...(jwk !== undefined && { jwk }) };
}

type Refuse = (problem: string) => never;

async function symmetric(bytes: Uint8Array, { kid: ownKid, alg }: JWK, wanted: Wanted, refuse: Refuse): Promise<LoadedKey> {
  const algorithm = agreed('HS512', [alg, wanted.algorithm], refuse);
  if (bytes.byteLength < minKeyBytes) refuse(`it is shorter than the ${minKeyBytes} bytes that HS512 takes, and neither PEM nor a JWK`);
  return { kid: wanted.kid ?? ownKid ?? unnamed, algorithm, key: await importHmacKey(bytes, ['sign', 'verify']), jwk: undefined };
}

async function asymmetric(privateKey: KeyObject, { kid: ownKid, alg }: JWK, wanted: Wanted, refuse: Refuse): Promise<LoadedKey> {
  const algorithm = agreed(algorithmOf(privateKey, refuse), [alg, wanted.algorithm], refuse);
  const der = privateKey.export({ type: 'pkcs8', format: 'der' });
  try {
    const key = await webcrypto.subtle.importKey('pkcs8', der, importParameters[algorithm], false, ['sign']);
    const half = createPublicKey(privateKey).export({ format: 'jwk' }) as JWK;
    const kid = wanted.kid ?? ownKid ?? (await calculateJwkThumbprint(half));
    return { kid, algorithm, key, jwk: { ...half, kid, alg: algorithm, use: 'sig' } };
  } finally {
    der.fill(0);
  }
}

function algorithmOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject, refuse: Refuse): 'EdDSA' | 'ES256' | 'RS256' {
  if (type === 'ed25519') return 'EdDSA';
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return 'ES256';
  if (type !== 'rsa') return refuse(`a ${type ?? 'key'} key${details?.namedCurve === undefined ? '' : ` on ${details.namedCurve}`} is none of Ed25519, P-256 and RSA`);
  if ((details?.modulusLength ?? 0) < minRsaBits) refuse(`an RSA key has at least ${minRsaBits} bits`);
  return 'RS256';
}

function agreed<T extends Algorithm>(found: T, asked: readonly (string | undefined)[], refuse: Refuse): T {
  const other = asked.find((algorithm) => algorithm !== undefined && algorithm !== found);
  if (other !== undefined) refuse(`it is a key for ${found}, not for ${algorithms.find((known) => known === other) ?? 'what it says'}`);
  return found;
}

const pemBegin = '-----BEGIN ';

/** The first line's, and no byte more: a string of what follows could not be wiped, and two lines hold all of an Ed25519 key. */
function labelOf(buffer: Buffer): string {
  const end = buffer.findIndex((byte, at) => at >= pemBegin.length && byte !== 0x20 && (byte < 0x41 || byte > 0x5a));
  return buffer.indexOf('-----', pemBegin.length) === end ? buffer.toString('latin1', pemBegin.length, end) : '';
}

function fromPem(buffer: Buffer, refuse: Refuse): KeyObject {
  const label = labelOf(buffer);
  // RFC 5958, and RFC 1421 section 4.6 as OpenSSL used to write it.
  if (label.startsWith('ENCRYPTED') || buffer.includes('Proc-Type: 4,ENCRYPTED')) return refuse('it is encrypted; decrypt it, and give the agent the result by a descriptor');
  if (!label.endsWith('PRIVATE KEY')) return refuse(`it is PEM, but no private key: ${label}`);
  try {
    return createPrivateKey({ key: buffer, format: 'pem' });
  } catch {
    return refuse('it is PEM that OpenSSL cannot read');
  }
}

/** Keys that are not text as ours are. Their bytes would do for HS512, and those of a public key everybody has. */
function refuseOtherForms(buffer: Buffer, refuse: Refuse): void {
  if (['ssh-', 'ecdsa-sha2-', 'sk-'].some((prefix) => buffer.indexOf(prefix) === 0)) refuse('it is a public key as OpenSSH writes it');
  const [tag, first = 0, second = 0, third = 0] = buffer;
  const [length, start] = first < 0x80 ? [first, 2] : first === 0x81 ? [second, 3] : [(second << 8) | third, first === 0x82 ? 4 : buffer.length];
  // X.690 section 8.1: one SEQUENCE to the end, which starts with a version or another SEQUENCE.
  if (tag === 0x30 && start + length === buffer.length && (buffer[start] === 0x30 || (buffer[start] === 0x02 && buffer[start + 1] === 0x01))) refuse('it is DER; `openssl pkey -inform DER` makes PEM of a private key');
}

const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;

/** Undefined where it is no JSON text. Text that looks like a JWK and is none is refused, lest it becomes an HS512 key. */
function jwkIn(buffer: Buffer, refuse: Refuse): (JWK & { kty: string }) | undefined {
  // Before it becomes a string: a key that is text must not.
  if (buffer.find((byte) => !isSpace(byte)) !== 0x7b || buffer.findLast((byte) => !isSpace(byte)) !== 0x7d) return undefined;
  if (!buffer.every((byte) => (byte >= 0x20 && byte < 0x7f) || isSpace(byte))) return undefined;
  let jwk: JWK;
  try {
    jwk = JSON.parse(buffer.toString('latin1')) as JWK;
  } catch {
    return refuse('it is no JSON, though it starts and ends like a JWK');
  }
  if (typeof jwk.kty !== 'string') return refuse('it is a JSON object without `kty`: one private JWK is taken, not a set');
  const { kid, alg } = jwk;
  if (kid !== undefined && (typeof kid !== 'string' || !/^[\x21-\x7e]{1,128}$/.test(kid))) refuse("the JWK's kid must be up to 128 printable characters");
  if (alg !== undefined && typeof alg !== 'string') refuse("the JWK's alg must be a string");
  return jwk as JWK & { kty: string };
}

function fromJwk(jwk: JWK, refuse: Refuse): KeyObject {
  if (jwk.d === undefined) return refuse('it is the public half of a key');
  try {
    return createPrivateKey({ key: jwk as JsonWebKeyInput['key'], format: 'jwk' });
  } catch {
    return refuse('it is a JWK that OpenSSL cannot read');
  }
}
