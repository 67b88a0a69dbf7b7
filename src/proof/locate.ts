import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packageRoot = fileURLToPath(new URL('../..', import.meta.url));

function may(path: string, access: number): boolean {
  try {
    accessSync(path, access);
    return true;
  } catch {
    return false;
  }
}

/** What a task of ours must be able to read to run: this package's code and the one package that it imports. */
export function taskCode(): string[] {
  const msgpack = fileURLToPath(import.meta.resolve('@msgpack/msgpack'));
  return [join(packageRoot, 'lib'), join(packageRoot, 'package.json'), msgpack.slice(0, msgpack.lastIndexOf('msgpack/dist') + 'msgpack'.length)];
}

/** Where a program of this host is, by PATH; undefined when it is not installed. */
export function installed(program: string): string | undefined {
  return (process.env['PATH'] ?? '/usr/bin:/bin').split(':').map((folder) => join(folder, program)).find((path) => may(path, constants.X_OK));
}

/** A node whose processes are open to their user, as most are: this one, else the first by PATH that we may read. */
export function openNode(): string | undefined {
  const others = (process.env['PATH'] ?? '/usr/bin:/bin').split(':').map((folder) => join(folder, 'node'));
  return [process.execPath, ...others].find((path) => may(path, constants.R_OK | constants.X_OK));
}
