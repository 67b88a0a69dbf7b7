// How secrets come from `sallyport exec`: by a descriptor each, whose numbers are in a variable. That holds names and
// numbers alone: `token=3,signing-key=4`.

import { SecretRefused } from '../errors.js';
import { native } from '../native.js';

export const handoverVariable = 'SALLYPORT_SECRETS';

/** What a secret can be called: no character that a shell, the variable or a log would take for something else. */
export const secretName = /^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/;

/** The variable for the environment of the program that gets these descriptors. */
export function announcement(descriptors: ReadonlyMap<string, number>): string {
  return `${handoverVariable}=${[...descriptors].map(([name, fd]) => `${name}=${fd}`).join(',')}`;
}

/** What has been announced to this process and not been taken yet. */
function announced(): Map<string, number> {
  const text = process.env[handoverVariable] ?? '';
  const found = new Map<string, number>();
  for (const entry of text.split(',').filter((part) => part !== '')) {
    const [, name = '', fd = ''] = /^([^=]+)=(\d{1,9})$/.exec(entry) ?? [];
    if (!secretName.test(name) || Number(fd) < 3) throw new SecretRefused(handoverVariable, 'it is not what `sallyport exec` sets');
    found.set(name, Number(fd));
  }
  return found;
}

/** Their names. @throws {SecretRefused} `ERR_SECRET_REFUSED`: the announcement is not one. */
export const handedOverNames = (): readonly string[] => [...announced().keys()];

/** Takes one out of the announcement: its descriptor's number will mean something else. */
function forget(name: string): void {
  const rest = announced();
  rest.delete(name);
  if (rest.size === 0) delete process.env[handoverVariable];
  else process.env[handoverVariable] = announcement(rest).slice(handoverVariable.length + 1);
}

/**
 * Finds the secret that was handed over as `name`. `take` closes its descriptor and fills the buffer, which must be as
 * long as `byteLength`.
 *
 * @throws {SecretRefused} `ERR_SECRET_REFUSED`: none of this name, or its descriptor is not what was announced.
 */
export function handedOver(name: string): { readonly byteLength: number; take(into: ArrayBuffer): void } {
  const source = `sallyport exec, "${name}"`;
  const fd = announced().get(name);
  if (fd === undefined) {
    throw new SecretRefused(source, `none of this name was handed over, or it was taken before; start with \`sallyport exec --secret ${name}=SOURCE\``);
  }
  try {
    return {
      byteLength: native().handoverSize(fd),
      take(into) {
        native().takeHandover(fd, into);
        forget(name);
      },
    };
  } catch (cause) {
    forget(name);
    throw new SecretRefused(source, `descriptor ${fd} is closed or not one of its making: this process was not started by it, or something closed it first`, { cause });
  }
}
