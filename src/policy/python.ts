import { accessSync, closeSync, constants, existsSync, openSync, readdirSync, readFileSync, readSync, realpathSync, statSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { PolicyInvalid } from '../errors.js';

/** An installed Python as far as a task needs it. */
export interface Python {
  /** What starts it, by the name that tells it which environment it is in. */
  readonly executable: string;
  /** Folders of programs and libraries: of the virtual environment and of the Python it was made from. */
  readonly execute: readonly string[];
  readonly read: readonly string[];
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === true;

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return isFile(path);
  } catch {
    return false;
  }
}

function text(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** As a shell finds it: the supervisor's own PATH, so that an activated environment is the one that is meant. */
function find(name: string): string | undefined {
  if (name.includes('/')) return isExecutable(name) ? resolve(name) : undefined;
  return (process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin')
    .split(delimiter)
    .map((folder) => resolve(folder, name))
    .find(isExecutable);
}

function isScript(path: string): boolean {
  const fd = openSync(path, 'r');
  try {
    const start = Buffer.alloc(2);
    readSync(fd, start, 0, 2, 0);
    return start.toString('latin1') === '#!';
  } finally {
    closeSync(fd);
  }
}

/**
 * pyenv puts a shell script in the place of every program, which asks pyenv which version is meant. The same question, without
 * running anything: PYENV_VERSION, the nearest .python-version, $PYENV_ROOT/version. https://github.com/pyenv/pyenv#understanding-python-version-selection
 */
function behindShim(shim: string): string | undefined {
  const root = dirname(dirname(shim));
  const name = shim.slice(dirname(shim).length + 1);
  const above = function* (folder: string): Generator<string> {
    for (; ; folder = dirname(folder)) {
      yield join(folder, '.python-version');
      if (folder === dirname(folder)) return;
    }
  };
  const local = [...above(process.cwd())].map(text).find((found) => found !== undefined);
  const wanted = (process.env['PYENV_VERSION'] ?? local ?? text(join(root, 'version')) ?? 'system').split(/[:\s]+/).filter((word) => word !== '');
  for (const version of wanted) {
    if (version === 'system' || !/^[\w.+-]+$/.test(version)) continue;
    // A prefix of a version, as in `3.11`, means its newest.
    const versions = existsSync(join(root, 'versions')) ? readdirSync(join(root, 'versions')) : [];
    const matching = versions.filter((known) => known === version || known.startsWith(`${version}.`)).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
    const found = matching.reverse().map((known) => join(root, 'versions', known, 'bin', name)).find(isExecutable);
    if (found !== undefined) return found;
  }
  const rest = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => resolve(folder) !== dirname(shim));
  return rest.map((folder) => resolve(folder, name)).find(isExecutable);
}

/** What lies in the folder that Python calls its prefix; of any other folder, nothing. */
function installed(prefix: string): { execute: string[]; read: string[] } {
  const libraries = ['lib', 'lib64'].map((name) => join(prefix, name)).filter((path) => existsSync(path));
  const isPrefix = existsSync(join(prefix, 'pyvenv.cfg')) || libraries.some((folder) => readdirSync(folder).some((name) => /^python3/.test(name) && existsSync(join(folder, name, 'os.py'))));
  if (!isPrefix) return { execute: [], read: [] };
  const read = ['pyvenv.cfg', 'include', 'share'].map((name) => join(prefix, name)).filter((path) => existsSync(path));
  return { execute: [join(prefix, 'bin'), ...libraries], read };
}

/**
 * Finds a Python and what belongs to it: the standard library, site-packages, console scripts, its virtual environment and the Python
 * below that. Runs nothing: an environment is code of somebody's, and this is the supervisor.
 *
 * @throws {PolicyInvalid} `ERR_POLICY_INVALID` with path `interpreter`: there is none, or it is a script that hides another one.
 */
export function findPython(name: string): Python {
  const found = find(name);
  if (found === undefined) throw new PolicyInvalid('interpreter', `is not an executable file (${name.replace(/[^\w./+-]/g, '?')}); name one, or install python3`);
  const executable = isScript(found) ? behindShim(found) : found;
  if (executable === undefined || isScript(executable)) throw new PolicyInvalid('interpreter', `is a script (${found}); name the interpreter that it starts`);
  const real = realpathSync(executable);
  // site.py: an environment is told by its pyvenv.cfg, next to the program as it was named or one folder up; `home` is where the base's programs are.
  const config = [dirname(executable), dirname(dirname(executable))].map((folder) => join(folder, 'pyvenv.cfg')).find(isFile);
  const home = config === undefined ? undefined : /^home\s*=\s*(.+?)\s*$/m.exec(text(config) ?? '')?.[1];
  const prefixes = new Set([...(config === undefined ? [] : [dirname(config)]), dirname(dirname(real)), ...(home === undefined ? [] : [dirname(home)])]);
  const parts = [...prefixes].map(installed);
  return {
    executable,
    execute: [real, ...parts.flatMap(({ execute }) => execute)],
    // Debian keeps the sitecustomize of its own there.
    read: [...parts.flatMap(({ read }) => read), ...debian()],
  };
}

const debian = (): string[] => (existsSync('/etc') ? readdirSync('/etc') : []).filter((name) => /^python3(\.\d+)?$/.test(name)).map((name) => join('/etc', name));
