#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { SallyportError } from '../errors.js';
import { nearest } from './command-line.js';
import { Interrupted, interruption } from './interruption.js';

/** One file a command, loaded when it is asked for. Resolves to the exit code; aborted, when it has cleaned up. */
interface Command {
  run(args: string[], signal: AbortSignal): Promise<number>;
}

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
  /** It deals with signals itself; what it is given never aborts. */
  readonly ownSignals?: true;
}

const commands: Readonly<Record<string, Entry>> = {
  doctor: { summary: 'say what this host has and lacks, and what to do about it', load: () => import('./doctor.js') },
  run: { summary: 'run a program locked in by a policy', load: () => import('./run.js'), ownSignals: true },
  exec: { summary: 'start a supervisor, locked, with its secrets in descriptors', load: () => import('./exec.js'), ownSignals: true },
  explain: { summary: 'say what a policy grants here, and what each guarantee rests on', load: () => import('./explain.js') },
  config: { summary: "check, or write, the configuration of one of Airflow's roles", load: () => import('./config.js') },
  parse: { summary: 'say what workflows files define, each parsed in a locked process', load: () => import('./parse.js') },
  top: { summary: 'watch what the supervisors of this user run', load: () => import('./top.js') },
  logs: { summary: 'show what a task wrote, and follow it', load: () => import('./logs.js') },
  serve: { summary: "serve Airflow's Execution API, and an admin API beside it", load: () => import('./serve.js'), ownSignals: true },
  worker: { summary: 'take workloads from a folder or the server, and run many at once', load: () => import('./worker.js'), ownSignals: true },
  triggerer: { summary: 'wait for what tasks have deferred to, so that they need not', load: () => import('./triggerer.js'), ownSignals: true },
  demo: { summary: 'attack an ordinary supervisor and a hardened one with the same task', load: () => import('./demo.js') },
  verify: { summary: 'prove each guarantee here, by exploits with protections off and on', load: () => import('./verify.js') },
};

const usage = `usage: sallyport <command> [options]

commands:
${Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`).join('\n')}

  --help, -h     this text, or a command's own: sallyport <command> --help
  --version, -v  the version
`;

function version(): string {
  return (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
}

/** Wrong arguments, from node:util's parseArgs or from here: exit code 2, as shells have it. */
function isUsageError(error: unknown): error is Error {
  return error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
}

/** A file that is missing, a folder that may not be read: its message says which. */
function isSystemError(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error && 'path' in error;
}

const named = (name: string | undefined): Entry | undefined => (name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined);

async function main([name, ...args]: string[], signal: AbortSignal): Promise<number> {
  if (name === 'help' && named(args[0]) !== undefined) return main([...args.slice(0, 1), '--help'], signal);
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(usage);
    return 0;
  }
  if (name === '--version' || name === '-v') {
    console.log(version());
    return 0;
  }
  const command = named(name);
  if (command === undefined) {
    const meant = name === undefined ? undefined : nearest(name, Object.keys(commands));
    process.stderr.write(name === undefined ? usage : `sallyport: there is no command "${name}"${meant === undefined ? '' : `; is ${meant} meant?`}\n\n${usage}`);
    return 2;
  }
  try {
    return await (await command.load()).run(args, signal);
  } catch (error) {
    if (isUsageError(error)) {
      process.stderr.write(`sallyport ${name}: ${error.message}\n`);
      return 2;
    }
    if (!(error instanceof SallyportError) && !isSystemError(error)) throw error;
    process.stderr.write(`sallyport ${name}: ${error.message}${error instanceof SallyportError ? ` (${error.code})` : ''}\n`);
    return 1;
  }
}

const signal = named(process.argv[2])?.ownSignals === true ? new AbortController().signal : interruption();
void main(process.argv.slice(2), signal).then((code) => {
  process.exitCode = signal.reason instanceof Interrupted ? signal.reason.exitCode : code;
});
