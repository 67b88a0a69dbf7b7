import { appendFileSync, chmodSync, linkSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Scene } from '../scene.js';
import { attempt } from './refused.js';

/** What a program would run at its next start, in a task's own words. */
const code = '\nprocess.stdout.write(JSON.stringify(process.env));\n';

function put(path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, code);
}

/** The ways to change what `path` holds, or what is found there: each needs another right of the file or of its folder. */
const ways: Readonly<Record<string, (path: string, scene: Scene) => void>> = {
  append: (path) => appendFileSync(path, code),
  replace(path) {
    writeFileSync(`${path}.new`, code);
    renameSync(`${path}.new`, path);
  },
  put,
  remove: (path) => rmSync(path),
  mode: (path) => chmodSync(path, 0o777),
  /** By another name of the same file. */
  link(path, { aside }) {
    linkSync(path, aside);
    appendFileSync(aside, code);
  },
  symlink(path, { aside }) {
    put(aside);
    symlinkSync(aside, `${path}.new`);
    renameSync(`${path}.new`, path);
  },
  /** The whole folder, with another in its place. */
  folder(path, { aside }) {
    const folder = dirname(path);
    renameSync(folder, aside);
    mkdirSync(folder);
    put(path);
  },
};

/** `PATH WAY...`: tries each way on a file of the scene's folder. */
export async function run(scene: Scene, [name = '', ...names]: readonly string[]): Promise<void> {
  for (const way of names) await attempt(() => ways[way]?.(join(scene.folder, name), scene));
}
