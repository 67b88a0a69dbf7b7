import { Secret } from '../secrets/secret.js';
import { secretName } from '../secrets/handover.js';
import { usageError } from './command-line.js';

/** Where a secret comes from, by the word before the colon. */
const kinds: Readonly<Record<string, (rest: string) => Secret>> = {
  env: (name) => Secret.fromEnv(name),
  file: (path) => Secret.fromFile(path),
  credential: (name) => Secret.fromCredential(name),
  fd: (number) => Secret.fromDescriptor(/^\d{1,9}$/.test(number) ? Number(number) : NaN),
};

export interface Source {
  readonly name: string;
  /** @throws {SecretRefused} `ERR_SECRET_REFUSED` */
  read(): Secret;
}

/** `NAME=KIND:WHERE`, each. What is wrong is said without what may be a secret that someone wrote there. */
export function sources(given: readonly string[]): Source[] {
  const found = given.map((text): Source => {
    const [, name = '', kind = '', rest = ''] = /^([^=]*)=([a-z]+):(.+)$/s.exec(text) ?? [];
    const read = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
    if (!secretName.test(name) || read === undefined) {
      throw usageError(`--secret takes NAME=SOURCE, where SOURCE is one of ${Object.keys(kinds).map((known) => `${known}:...`).join(', ')}; never the secret itself`);
    }
    return { name, read: () => read(rest) };
  });
  const twice = found.find(({ name }, at) => found.findIndex((other) => other.name === name) !== at);
  if (twice !== undefined) throw usageError(`--secret ${twice.name} is given twice`);
  return found;
}
