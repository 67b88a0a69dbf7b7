import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { native } from '../../native.js';
import { noteSecretFile } from '../../secrets/secret-file.js';
import { AgentConnection, notStarted } from './connection.js';
import type { AgentArguments } from './main.js';
import type { CheckedOptions, KeyOption } from './options.js';
import { type AgentKey, channelDescriptor } from './protocol.js';

/** OpenSSL's arena of locked pages, where the private halves of asymmetric keys are kept: 4 KiB for an RSA key of 2048 bits. */
const secureHeap = ['--secure-heap=131072', '--secure-heap-min=16'];

/**
 * Starts the agent's process and hands its keys over. Whatever comes of it, the descriptors and secrets that were
 * given are closed and destroyed here.
 */
export function startProcess({ keys, policy, harden, timeoutMs }: CheckedOptions): AgentConnection {
  const theirs: number[] = [];
  const pipes = new Map<KeyOption, number>();
  try {
    const described = keys.map((option): AgentKey => {
      const { algorithm, kid } = option;
      if ('descriptor' in option) {
        note(option.descriptor);
        theirs.push(option.descriptor);
      }
      if ('secret' in option) {
        const [into, from] = native().writePipe();
        pipes.set(option, into);
        theirs.push(from);
      }
      return { source: sourceOf(option, channelDescriptor + theirs.length), ...(algorithm !== undefined && { algorithm }), ...(kid !== undefined && { kid }) };
    });
    const connection = new AgentConnection(execute({ parent: process.pid, harden }, theirs), timeoutMs);
    // Before a pipe is filled: one that holds less than a key takes waits for the agent to read.
    connection.tell({ keys: described, policy });
    theirs.splice(0).forEach(closeQuietly);
    try {
      for (const [option, into] of pipes) handOver(option, into);
    } catch (error) {
      void connection.close();
      throw error;
    }
    return connection;
  } finally {
    for (const fd of [...theirs, ...pipes.values()]) closeQuietly(fd);
    for (const option of keys) if ('secret' in option) option.secret.destroy();
  }
}

function execute(args: AgentArguments, descriptors: readonly number[]): ChildProcess {
  const { CREDENTIALS_DIRECTORY: credentials } = process.env;
  try {
    return spawn(process.execPath, [...secureHeap, fileURLToPath(new URL('main.js', import.meta.url)), JSON.stringify(args)], {
      // A session of its own: what a terminal sends to the supervisor's group must not end the agent before it.
      detached: true,
      cwd: '/',
      env: credentials === undefined ? {} : { CREDENTIALS_DIRECTORY: credentials },
      stdio: ['ignore', 'ignore', 'inherit', 'pipe', ...descriptors],
    });
  } catch (cause) {
    throw notStarted(cause);
  }
}

function sourceOf(option: KeyOption, descriptor: number): AgentKey['source'] {
  if ('file' in option) {
    note(option.file);
    return { file: resolve(option.file) };
  }
  if ('credential' in option) {
    note(join(process.env.CREDENTIALS_DIRECTORY ?? '/', option.credential));
    return { credential: option.credential };
  }
  return { descriptor };
}

/** No task is granted it from now on. What is not there the agent will refuse; a pipe has no path. */
function note(file: string | number): void {
  try {
    noteSecretFile(file);
  } catch {
    // as above
  }
}

function handOver(option: KeyOption, into: number): void {
  if (!('secret' in option)) return;
  try {
    option.secret.use((bytes) => writeSync(into, bytes));
    // Whoever reads a secret drops one newline at its end: this one, and none of the key's.
    writeSync(into, '\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error; // an agent that ended says why
  }
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // The caller's descriptor was none, or was given twice: the start has failed, or will.
  }
}
