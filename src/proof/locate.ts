import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KernelUnsupported } from '../errors.js';

const packageRoot = fileURLToPath(new URL('../..', import.meta.url));

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * The program `attack`: compiled in a clone, prebuilt in a package.
 *
 * @throws {KernelUnsupported} `ERR_KERNEL_UNSUPPORTED`: neither is there.
 */
export function attackProgram(): string {
  const places = [join(packageRoot, 'build', 'Release', 'attack'), join(packageRoot, 'prebuilds', `${process.platform}-${process.arch}`, 'attack')];
  const found = places.find(executable);
  if (found === undefined) throw new KernelUnsupported('the attack program', 'neither a compiled nor a prebuilt one is there; run `npm run set-up` in a clone');
  return found;
}

/** What a task of ours must be able to read to run: this package's code and the one package that it imports. */
export function taskCode(): string[] {
  const msgpack = fileURLToPath(import.meta.resolve('@msgpack/msgpack'));
  return [join(packageRoot, 'lib'), join(packageRoot, 'package.json'), msgpack.slice(0, msgpack.lastIndexOf('msgpack/dist') + 'msgpack'.length)];
}

/** Where a program of this host is, by PATH; undefined when it is not installed. */
export function installed(program: string): string | undefined {
  return (process.env['PATH'] ?? '/usr/bin:/bin').split(':').map((folder) => join(folder, program)).find(executable);
}
