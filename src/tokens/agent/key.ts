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
    if (buffer.subarray(0, 11).equals(Buffer.from('-----BEGIN '))) return asymmetric(fromPem(buffer, refuse), {}, wanted, refuse);
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

function fromPem(buffer: Buffer, refuse: Refuse): KeyObject {
  const head = buffer.toString('latin1', 0, 96);
  const label = /^-----BEGIN ([A-Z ]{1,40})-----/.exec(head)?.[1] ?? '';
  // RFC 5958, and RFC 1421 section 4.6 as OpenSSL used to write it.
  if (label.startsWith('ENCRYPTED') || head.includes('Proc-Type: 4,ENCRYPTED')) return refuse('it is encrypted; decrypt it, and give the agent the result by a descriptor');
  if (!label.endsWith('PRIVATE KEY')) return refuse(`it is PEM, but no private key: ${label}`);
  try {
    return createPrivateKey({ key: buffer, format: 'pem' });
  } catch {
    return refuse('it is PEM that OpenSSL cannot read');
  }
}

/** Undefined where it is no JSON text. Text that looks like a JWK and is none is refused, lest it becomes an HS512 key. */
function jwkIn(buffer: Buffer, refuse: Refuse): (JWK & { kty: string }) | undefined {
  if (!buffer.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x09 || byte === 0x0a || byte === 0x0d)) return undefined;
  const text = buffer.toString('latin1').trim();
  if (!text.startsWith('{') || !text.endsWith('}')) return undefined;
  let jwk: JWK;
  try {
    jwk = JSON.parse(text) as JWK;
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
