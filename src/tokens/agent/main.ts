/**
 * The key agent: `node lib/tokens/agent/main.js OPTIONS`, started by `KeyAgent.start()`. It hardens itself before it
 * is told anything, reads its keys, and then does what protocol.ts names, for whoever holds the other end of its
 * channel: a line at a time, so that however much is sent, no more than a line is held. It ends when the channel does.
 */
import { Socket } from 'node:net';
import { once } from 'node:events';
import { Value } from '@sinclair/typebox/value';
import { outOfRange } from '../../errors.js';
import { harden, type HardenOptions } from '../../harden/harden.js';
import { dropCapabilities } from '../../kernel/capabilities.js';
import { dieWithParent } from '../../kernel/signals.js';
import { Secret } from '../../secrets/secret.js';
import { loadKey, type LoadedKey, published } from './key.js';
import { linesOf } from './lines.js';
import { type AgentKey, type Answer, channelDescriptor, Configuration, maxLineBytes, refusalFor, Request } from './protocol.js';
import { Signer } from './signer.js';

/** No secret among them: arguments are there for every user to read. */
export interface AgentArguments {
  /** The supervisor's pid. */
  readonly parent: number;
  readonly harden: HardenOptions;
}

const channel = new Socket({ fd: channelDescriptor, readable: true, writable: true });
channel.on('error', () => process.exit(0)); // the supervisor is gone
// A stack, or Node's excerpt of the code, has no business on a supervisor's stderr.
process.on('uncaughtException', (error) => {
  process.stderr.write(`sallyport: the key agent ends: ${(error as NodeJS.ErrnoException).code ?? error.name}\n`);
  process.exit(1);
});

async function answer(value: Answer): Promise<void> {
  // Who does not read what it asked for is not listened to.
  if (!channel.write(`${JSON.stringify(value)}\n`)) await once(channel, 'drain');
}

function close(): void {
  const { parent, harden: options } = JSON.parse(process.argv[2] ?? '') as AgentArguments;
  harden(options);
  dropCapabilities();
  dieWithParent(parent);
}

async function load({ source, ...wanted }: AgentKey): Promise<LoadedKey> {
  if ('file' in source) return loadKey(`file "${source.file}"`, Secret.fromFile(source.file), wanted);
  if ('credential' in source) return loadKey(`credential "${source.credential}"`, Secret.fromCredential(source.credential), wanted);
  return loadKey('the key that was handed over', Secret.fromDescriptor(source.descriptor), wanted);
}

async function configure(line: string | undefined): Promise<Signer> {
  const configuration = parsed(line);
  if (!Value.Check(Configuration, configuration)) throw outOfRange('configuration', 'valid');
  const keys: LoadedKey[] = [];
  for (const key of configuration.keys) keys.push(await load(key));
  const signer = new Signer(keys as [LoadedKey, ...LoadedKey[]], configuration.policy);
  await answer({ ready: keys.map(published) });
  return signer;
}

async function serve(signer: Signer, line: string | undefined): Promise<Answer> {
  const request = parsed(line);
  const id = typeof request === 'object' && request !== null && 'id' in request && Number.isSafeInteger(request.id) ? { id: request.id as number } : {};
  try {
    if (!Value.Check(Request, request)) throw outOfRange('request', 'issue or verify, with the fields that these have');
    if ('issue' in request) return { id: request.id, token: await signer.issue(request.issue) };
    return { id: request.id, claims: await signer.verify(request.verify) };
  } catch (error) {
    return { ...id, error: refusalFor(error) };
  }
}

/** Undefined for what is no JSON, and no schema takes. */
function parsed(line: string | undefined): unknown {
  try {
    return JSON.parse(line ?? '');
  } catch {
    return undefined;
  }
}

/** What could not be set up is told; there is no agent then. */
async function giveUp(error: unknown): Promise<never> {
  await new Promise<void>((resolve) => channel.end(`${JSON.stringify({ error: refusalFor(error) } satisfies Answer)}\n`, resolve));
  process.exit(1);
}

async function main(): Promise<void> {
  try {
    close();
  } catch (error) {
    await giveUp(error);
  }
  let signer: Signer | undefined;
  for await (const line of linesOf(channel, maxLineBytes)) {
    if (signer === undefined) signer = await configure(line).catch(giveUp);
    else await answer(await serve(signer, line));
  }
  process.exit(0);
}

void main();
