import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packageRoot = fileURLToPath(new URL('../..', import.meta.url));

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
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
  return (process.env['PATH'] ?? '/usr/bin:/bin').split(':').map((folder) => join(folder, program)).find(executable);
}
