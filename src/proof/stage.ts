import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { names, temporaryOf, type Side } from './scene.js';

/** What a supervisor starts from, in a folder of its own: as an application would lie on a disk. */
export function setStage(folder: string, side: Side): void {
  const own = (module: string): string => new URL(`${module}.js`, import.meta.url).href;
  const files: Readonly<Record<string, string>> = {
    [names.supervisorCode]: `import 'banner';\nimport '${own(`${side}-supervisor`)}';\n`,
    [names.neighbourCode]: `import '${own('neighbour')}';\n`,
    [names.lateSupervisorCode]: `import '${own('late-supervisor')}';\n`,
    'package.json': '{ "private": true, "type": "module" }\n',
    '.npmrc': 'ignore-scripts=true\n',
    'node_modules/banner/package.json': '{ "name": "banner", "type": "module", "exports": "./index.js" }\n',
    // A dependency that has reports written, as some do in the hope that they help.
    'node_modules/banner/index.js': 'process.report.reportOnSignal = true;\n',
  };
  mkdirSync(temporaryOf(folder));
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}

/** Everything below a folder, by its path: kind, mode and content. Times are nobody's loss. */
export type Tree = ReadonlyMap<string, string>;

export function treeOf(folder: string, below = ''): Tree {
  const seen = new Map<string, string>();
  const at = join(folder, below);
  let entries: string[];
  try {
    entries = readdirSync(at);
  } catch (error) {
    return seen.set(below, (error as NodeJS.ErrnoException).code ?? ''); // moved away, or closed to us
  }
  for (const name of entries) {
    const path = join(below, name);
    const stats = lstatSync(join(folder, path));
    if (stats.isDirectory()) for (const [inner, is] of treeOf(folder, path)) seen.set(inner, is);
    const content = stats.isFile() ? contentOf(join(folder, path)) : stats.isSymbolicLink() ? readlinkSync(join(folder, path)) : '';
    seen.set(path, `${stats.mode} ${content}`);
  }
  return seen;
}

function contentOf(file: string): string {
  try {
    return createHash('sha256').update(readFileSync(file)).digest('hex');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? '';
  }
}

/** The first difference, in words. */
export function changed(before: Tree, after: Tree): string | undefined {
  for (const [path, was] of before) {
    const is = after.get(path);
    if (is === undefined) return `${path} was taken away`;
    if (is !== was) return `${path} was ${is.split(' ')[0] === was.split(' ')[0] ? 'rewritten' : 'changed'}`;
  }
  const added = [...after.keys()].find((path) => !before.has(path));
  return added === undefined ? undefined : `${added} was put there`;
}
