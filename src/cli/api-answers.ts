import { setTimeout as sleep } from 'node:timers/promises';
import { TokenInvalid, UpstreamFailed, UpstreamUnreachable } from '../errors.js';
import type { ExecutionApi } from '../execution-api/client.js';

const leastPauseMs = 500;
const mostPauseMs = 5_000;
/** For a proxy that has no server behind it yet, and one that is asked too much. */
const passing: ReadonlySet<number> = new Set([408, 425, 429]);

/** Whoever speaks for a command. */
interface View {
  trouble(error: Error): void;
  over(text: string): void;
}

/**
 * Waits until an Execution API answers at the URL, before anything is taken from anybody and before a token or a credential goes there: to a
 * wrong server either would be lost. A server that is away may come, and so may the right one behind a proxy, so that it is asked again
 * for as long as it takes; what is wrong, and what to do, is said once.
 *
 * @param idle What is not done meanwhile.
 * @returns False: SIGTERM or SIGINT came first.
 */
export async function untilItAnswers(api: ExecutionApi, url: string, idle: string, view: View): Promise<boolean> {
  const stopping = new AbortController();
  const stop = (): void => stopping.abort();
  const { signal } = stopping;
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, stop);
  try {
    for (let pauseMs = leastPauseMs, isAway = false; !signal.aborted; pauseMs = Math.min(pauseMs * 2, mostPauseMs)) {
      try {
        await api.health({ attempts: 1, signal });
        if (isAway) view.over(`${url} answers`);
        return true;
      } catch (cause) {
        if (signal.aborted) break;
        isAway = true;
        view.trouble(Object.assign(new Error(`--api ${url}: ${problemAt(url, cause)}. It is asked again; ${idle} until it answers`, { cause }), { code: (cause as NodeJS.ErrnoException).code }));
        await sleep(pauseMs, undefined, { signal }).catch(() => {});
      }
    }
    return false;
  } finally {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.off(name, stop);
  }
}

const itsPath = 'The address has a path, as in http://127.0.0.1:8080/execution/';

/** What is wrong at that URL, and what to do about it. */
function problemAt(url: string, error: unknown): string {
  const { host, hostname, protocol } = new URL(url);
  if (error instanceof UpstreamFailed) return statusProblem(error.status);
  if (!(error instanceof UpstreamUnreachable)) throw error;
  const { problem } = error;
  const isTls = protocol === 'https:';
  switch (problem) {
    case 'ECONNREFUSED': return `nothing listens at ${host} (${problem}). Start the server, or correct the address`;
    case 'ENOTFOUND': return `there is no host ${hostname} (${problem}). Correct the address`;
    case 'EAI_AGAIN': return `${hostname} could not be looked up (${problem}). Correct the address, or see to the name server`;
    case 'EHOSTUNREACH': case 'ENETUNREACH': case 'ETIMEDOUT': case 'UND_ERR_CONNECT_TIMEOUT': return `${host} cannot be reached from here (${problem}). Correct the address, or see to the network`;
    case 'UND_ERR_SOCKET': case 'ECONNRESET': case 'EPIPE': return `${host} hangs up without an answer. ${isTls ? 'See to the server' : 'If it speaks TLS, write https://'}`;
    case 'it took too long': return `${host} does not answer. Correct the address, or see to the server`;
    case 'it is no HTTP': return `${host} does not speak HTTP. Correct the address`;
  }
  if (isTls && /^(EPROTO|ERR_SSL_)/.test(problem)) return `${host} does not speak TLS, or none that Node accepts (${problem}). If it speaks plain HTTP, write http://`;
  if (isTls && /CERT|SIGNATURE|ISSUER/.test(problem)) return `the certificate of ${host} is not accepted (${problem}). If its authority is your own: NODE_EXTRA_CA_CERTS=FILE`;
  return `no Execution API answers there (${problem}). ${itsPath}`;
}

function statusProblem(status: number): string {
  if (status >= 500 || passing.has(status)) return `the server answers ${status}. See to it, if that does not pass`;
  if (status === 401 || status === 403) return `what answers there wants to know who asks (${status}), as no Execution API does: a proxy, perhaps. ${itsPath}`;
  if (status < 400) return `what answers there sends us elsewhere (${status}), and redirects are not followed. Give the address that it leads to`;
  return `no Execution API answers there (status ${status}). ${itsPath}`;
}

/** What went wrong between a command with a credential and its server, and what to do about it. */
export function withAdvice(error: Error, whose: 'worker' | 'triggerer'): Error {
  const advice = adviceFor(error, whose);
  return advice === undefined ? error : Object.assign(new Error(`${error.message}: ${advice}`, { cause: error }), { code: (error as NodeJS.ErrnoException).code });
}

function adviceFor(error: Error, whose: 'worker' | 'triggerer'): string | undefined {
  const another = `the server's admin API gives one, PUT /admin/${whose}s/{name}`;
  if (error instanceof TokenInvalid) return `what --credential names has another form than a ${whose}'s credential; ${another}`;
  if (!(error instanceof UpstreamFailed)) return undefined;
  if (error.status === 401 || error.status === 403) return `--credential is of no ${whose} that the server knows, or not any more; ${another}`;
  if (error.status === 404 && error.reason === undefined) return `it is no sallyport server, or its routes beside /execution/ are not let through${whose === 'worker' ? '; from another server workloads come by --folder' : ''}`;
  return undefined;
}
