import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const uid = '65534';

/** A command's first words: the rest of it runs as nobody, without a capability it could get back. */
const command = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--bounding-set=-all', 'env', 'HOME=/tmp'] as const;

function canRead(path: string): boolean {
  return spawnSync(command[0], [...command.slice(1), 'test', '-r', path, '-a', '-x', path]).status === 0;
}

/** What an installed package consists of, and what of its packages it loads. */
const parts = ['package.json', 'lib', 'build/Release/sallyport.node', 'build/Release/attack', 'build/Release/stage', 'build/Release/sweeper', 'prebuilds', 'node_modules'];
const builders = ['typescript', '@typescript', 'esbuild', '@esbuild', 'tsx', 'node-gyp', '.cache'];

/** Calls `use` with a folder that uid 65534 can read, and the words that run a command as it. Needs root. */
export async function withReadableCopy(root: string, use: (folder: string, unprivileged: readonly [string, ...string[]]) => Promise<void>): Promise<void> {
  if (canRead(join(root, 'lib')) && canRead(process.execPath)) return use(root, command);
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-copy-'));
  try {
    for (const part of parts.filter((name) => existsSync(join(root, name)))) {
      const skip = builders.map((name) => join(root, 'node_modules', name));
      cpSync(join(root, part), join(folder, part), { recursive: true, dereference: true, filter: (path) => !skip.includes(path) });
    }
    spawnSync('chmod', ['-R', 'a+rX', folder]);
    if (!canRead(realpathSync(process.execPath))) throw new Error(`uid ${uid} cannot execute ${process.execPath}`);
    await use(folder, command);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
