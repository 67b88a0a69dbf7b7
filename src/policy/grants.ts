import { existsSync, realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir, userInfo } from 'node:os';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { configFiles } from '../config/places.js';
import { PolicyInvalid } from '../errors.js';
import type { GuaranteeName } from '../guarantees.js';
import { secretFiles } from '../secrets/secret-file.js';
import { absolute, type Policy } from './policy.js';

/** What a task must not get, and the guarantee that would be void if it did. */
interface Guarded {
  readonly path: string;
  readonly guarantee: GuaranteeName;
  readonly what: string;
  /** Also what lies beneath it. */
  readonly deep: boolean;
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // a path that is missing is refused later, by its name
  }
}

const place = (guarantee: GuaranteeName, what: string, path: string, deep = true): Guarded => ({ path: real(path), guarantee, what, deep });

const keptFolders = new Map<string, string>();

/** From now on no task may be granted this folder or anything in it. @param what What lies there, for messages. */
export function keepFromTasks(folder: string, what: string): void {
  keptFolders.set(folder, what);
}

/** How many files are guarded because the supervisor has read or keeps them: with another one the grants are looked at again. */
export const filesRead = (): number => secretFiles.size + configFiles.size + keptFolders.size;

const kept = (): readonly Guarded[] => [...keptFolders].map(([path, what]) => place('siblings', what, path));

/** Homes of the supervisor's user. One that everybody may write, as a HOME of /tmp, is nobody's. */
function homes(): readonly string[] {
  let known: string | undefined;
  try {
    known = userInfo().homedir;
  } catch {
    // A uid without an entry in passwd(5), as containers have.
  }
  const candidates = new Set([known, homedir()].filter((path): path is string => path !== undefined && isAbsolute(path) && path !== '/'));
  return [...candidates].filter((path) => ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0o002) & 0o002) === 0);
}

/** Folders that a variable of the supervisor's lists, as PATH does. */
const listed = (name: string): string[] => (process.env[name] ?? '').split(delimiter).filter((path) => isAbsolute(path) && path !== '/');

/** The package that the main script belongs to: its own description and what it loads. */
function application(script: string): Guarded[] {
  for (let folder = dirname(script); folder !== dirname(folder); folder = dirname(folder)) {
    if (!existsSync(join(folder, 'package.json'))) continue;
    return [place('code', "the supervisor's package.json", join(folder, 'package.json')), place('code', "the supervisor's packages", join(folder, 'node_modules'))];
  }
  return [];
}

/** What shells, the desktop, ssh and cron run as the user without being asked, and where credentials are kept. */
const startFiles = [
  '.bashrc', '.bash_profile', '.bash_login', '.bash_logout', '.profile', '.zshrc', '.zshenv', '.zprofile', '.zlogin', '.config', '.local', '.gitconfig', '.vimrc', '.vim', '.emacs.d',
  '.pyenv', '.nvm', '.npm', '.cargo', '.node_modules', '.node_libraries', '.pythonrc', '.forward', '.pam_environment', '.xprofile', '.xsession', 'bin',
];
const credentialFiles = ['.ssh', '.gnupg', '.aws', '.azure', '.kube', '.docker', '.npmrc', '.netrc', '.pgpass', '.pypirc', '.git-credentials', '.config/gcloud', '.config/gh', '.vault-token'];

/** What a task must not be able to write. */
function unwritable(): readonly Guarded[] {
  const script = process.argv[1];
  return [
    place('code', 'this package', fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')),
    place('code', 'the node binary', process.execPath, false),
    ...(script?.startsWith('/') === true ? [place('code', "the supervisor's main script", script, false), ...application(script)] : []),
    ...[...configFiles].map((path) => place('code', "the supervisor's configuration", path, false)),
    ...Object.keys(createRequire(import.meta.url).cache).map((path) => place('code', 'a module of the supervisor', path)),
    ...['PATH', 'LD_LIBRARY_PATH', 'NODE_PATH', 'PYTHONPATH'].flatMap((name) => listed(name).map((path) => place('code', `what the supervisor's ${name} leads to`, path))),
    ...['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'].map((path) => place('code', "the system's programs and libraries", path)),
    ...['/etc', '/boot', '/var/spool/cron', '/var/spool/at', '/run/systemd', '/var/lib/systemd'].map((path) => place('privileges', 'what the system runs and obeys', path)),
    place('interference', 'the settings of the kernel and of every process', '/proc'),
    place('interference', 'the settings of the kernel and of every cgroup', '/sys'),
    place('interference', "the host's devices", '/dev', false),
    ...homes().flatMap((home) => startFiles.map((name) => place('privileges', 'what is run or obeyed as the supervisor\'s user', join(home, name)))),
    ...credentials(() => true),
    ...kept(),
  ];
}

/** What a task must not be able to read either. */
function unreadable(): readonly Guarded[] {
  // Of root's the devices are disks and memory, past every file rule.
  const devices = process.geteuid?.() === 0 ? [place('files', "the host's devices", '/dev', false)] : [];
  return [...credentials(existsSync), ...devices, ...kept()];
}

function credentials(counts: (path: string) => boolean): readonly Guarded[] {
  return [
    ...[...secretFiles].map((path) => place('secrets', 'a secret of the supervisor', path)),
    ...homes().flatMap((home) => credentialFiles.map((name) => join(home, name)).filter(counts)).map((path) => place('secrets', "the user's credentials", path)),
  ];
}

const holds = (folder: string, path: string): boolean => folder === '/' || path === folder || path.startsWith(`${folder}/`);

/**
 * Refuses to let a task write what the supervisor runs or what rules all processes, and to read its credentials: a guarantee
 * would be reported that the policy itself voids.
 *
 * @throws {PolicyInvalid} `ERR_POLICY_INVALID` with the path of the grant, unless `policy.without` names the guarantee.
 */
export function refuseVoidingGrants(policy: Policy): void {
  const refuse = (field: 'read' | 'execute' | 'write', places: () => readonly Guarded[], verb: string): void => {
    const granted = policy[field] ?? [];
    if (granted.length === 0) return;
    const all = places().filter(({ guarantee }) => policy.without?.includes(guarantee) !== true);
    granted.forEach((path, index) => {
      const folder = real(absolute(path));
      const voided = all.find((place) => holds(folder, place.path) || (place.deep && holds(place.path, folder)));
      if (voided === undefined) return;
      throw new PolicyInvalid(`${field}[${index}]`, `would let the task ${verb} ${voided.what} (${voided.path}); grant less, or name '${voided.guarantee}' in policy.without`);
    });
  };
  refuse('write', unwritable, 'change');
  refuse('read', unreadable, 'read');
  refuse('execute', unreadable, 'read');
}
