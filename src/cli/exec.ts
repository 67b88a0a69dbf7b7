import { fstatSync, readFileSync } from 'node:fs';
import { SallyportError, StartRefused } from '../errors.js';
import { harden } from '../harden/harden.js';
import { loaderVariables } from '../harden/loader.js';
import { become, findUser, type User } from '../kernel/become.js';
import type { CapabilityName } from '../kernel/capabilities.js';
import { native } from '../native.js';
import { announcement, handoverVariable } from '../secrets/handover.js';
import { commandLine, usageError } from './command-line.js';
import { sources, type Source } from './exec-sources.js';
import { found, split, without } from './policy-options.js';

const usage = `usage: sallyport exec [options] [--] SUPERVISOR [ARGUMENT ...]

Becomes a supervisor whose secrets are in no variable and no argument: each
arrives by a descriptor, which Secret.fromExec(NAME) reads and closes. It starts
with no_new_privs and without capabilities; nothing else of this process stays
open.

  --secret NAME=SOURCE   env:VARIABLE, which is taken out of the environment;
                         file:PATH, under ssh's rules for keys; credential:NAME
                         of a systemd service; fd:N, a descriptor that is read
                         to its end and closed
  --user USER            as root: the user to become, a name or UID:GID. The
                         supervisor is then closed to that user from its first
                         instruction
  --capability NAME      one that the supervisor keeps, such as CAP_SETUID
  --descriptor N         a descriptor that stays open, beside 0, 1 and 2
  --trust-variable NAME  leave a variable that changes what is loaded; they are
                         refused otherwise
  --without GUARANTEE    start though this process itself cannot be hardened so

  sallyport exec --secret token=file:/etc/token -- node main.js
  sallyport exec --user airflow --secret token=file:/etc/token -- node main.js

Exit code: the supervisor's own; or 125 when it was not started, 126 when it
cannot be executed, 127 when there is no such program.
`;

const options = {
  secret: { type: 'string', multiple: true },
  user: { type: 'string' },
  capability: { type: 'string', multiple: true },
  descriptor: { type: 'string', multiple: true },
  'trust-variable': { type: 'string', multiple: true },
  without: { type: 'string', multiple: true },
} as const;

const NOT_STARTED = 125;
const NOT_FOUND = 127;

export async function run(args: string[]): Promise<number> {
  try {
    const { ours, command } = split(args, options);
    const given = commandLine(ours, usage, options);
    if (given === undefined) return 0;
    const { values } = given;
    if (command[0] === undefined) throw usageError('which supervisor? sallyport exec [options] -- SUPERVISOR [ARGUMENT ...]');
    const path = found(command[0]);
    if (!path.includes('/')) {
      say(`there is no program "${path}"`);
      return NOT_FOUND;
    }
    const kept = descriptors(values.descriptor ?? []);
    const from = sources(values.secret ?? []);
    const user = values.user === undefined ? undefined : userOf(values.user);
    refuseLoaders(values['trust-variable'] ?? []);
    // Nobody watches, and nobody else can change what runs here: before a secret is read.
    harden({ without: without(values.without) });
    start({ path, command, from, kept, user, keep: (values.capability ?? []) as CapabilityName[] });
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    say(`${message}${error instanceof SallyportError ? ` (${code})` : ''}`);
    return NOT_STARTED;
  }
}

interface Start {
  readonly path: string;
  readonly command: readonly string[];
  readonly from: readonly Source[];
  readonly kept: readonly number[];
  readonly user: User | undefined;
  readonly keep: readonly CapabilityName[];
}

function start({ path, command, from, kept, user, keep }: Start): never {
  const secrets = from.map(({ name, read }) => ({ name, secret: read() }));
  const environment = Object.entries({ ...process.env, [handoverVariable]: undefined, ...(user && environmentOf(user)) }).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}=${value}`);
  const open = new Map(kept.map((fd) => [fd, fd]));
  const announced = new Map<string, number>();
  for (const { name, secret } of secrets) {
    refuseCopies(name, (is) => secret.use(is), [...environment, ...command]);
    // The lowest that are free, which Node closes to its children by itself.
    let fd = 3;
    while (open.has(fd)) fd++;
    open.set(fd, secret.use((bytes) => native().makeHandover(bytes.buffer as ArrayBuffer)));
    announced.set(name, fd);
    secret.destroy();
  }
  try {
    become({ path, argv: command, environment: [...environment, ...(announced.size > 0 ? [announcement(announced)] : [])], descriptors: open, user, keep });
  } catch (cause) {
    const { message, code } = cause as NodeJS.ErrnoException;
    const advice = code === 'EPERM' ? '; --user and --capability take root, or what they name' : '';
    throw new StartRefused(`${message}${advice}`, { cause });
  }
}

/** A secret that is in a variable or an argument too has not been hidden by taking it out of one place. */
function refuseCopies(name: string, use: (is: (bytes: Uint8Array) => boolean) => boolean, texts: readonly string[]): void {
  const tooShortToTell = 8;
  const copy = texts.find((text) => use((bytes) => bytes.byteLength >= tooShortToTell && Buffer.from(text).includes(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))));
  if (copy === undefined) return;
  const variable = /^([A-Za-z_]\w*)=/.exec(copy)?.[1];
  throw new StartRefused(`secret "${name}" is also in ${variable === undefined ? "the supervisor's arguments" : `the variable ${variable}`}, where others find it`);
}

function refuseLoaders(trusted: readonly string[]): void {
  const named = loaderVariables(process.env).filter((variable) => !trusted.includes(variable.split(' ')[0] ?? ''));
  if (named.length > 0) throw new StartRefused(`${named.join(', ')} would have it load what is not its own; unset, or --trust-variable NAME`);
}

function descriptors(given: readonly string[]): number[] {
  const numbers = given.map((text) => {
    if (!/^\d{1,6}$/.test(text)) throw usageError(`--descriptor takes a number, not "${text}"`);
    return Number(text);
  });
  for (const fd of numbers) fstatSync(fd); // EBADF now, and not when there is no way back
  return [...new Set([0, 1, 2, ...numbers])];
}

/** Means "leave it as it is" to setresuid(2). */
const noId = 0xffff_ffff;

/** @throws {StartRefused} `ERR_START_REFUSED`: no such user, or this kernel would let its processes look in. */
function userOf(text: string): User {
  if (suidDumpable() === '1') throw new StartRefused('fs.suid_dumpable is 1: its user could look into it from the start; sysctl -w fs.suid_dumpable=0');
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  const user = uid === undefined || gid === undefined ? findUser(text) : { uid: Number(uid), gid: Number(gid), groups: [], home: '/' };
  if (user === undefined) throw new StartRefused(`there is no user "${text}"; UID:GID needs none`);
  if (user.uid === 0) throw new StartRefused("--user takes another user than root, whose programs open any process");
  if (Math.max(user.uid, user.gid) >= noId) throw new StartRefused(`"${text}" has a number that no user or group has`);
  return user;
}

function suidDumpable(): string {
  return readFileSync('/proc/sys/fs/suid_dumpable', 'latin1').trim();
}

function environmentOf({ name, home }: User): Record<string, string> {
  return { HOME: home, ...(name !== undefined && { USER: name, LOGNAME: name }) };
}

function say(text: string): void {
  process.stderr.write(`sallyport exec: ${text}\n`);
}
