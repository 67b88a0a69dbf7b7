import type { Verdict, Question } from './rules.js';

/** What a policy is asked. Of the owner it is told what is known; without `multiTeam` that is nothing. */
export type PolicyInput = Question;

/** `reason` is for the record; the task does not see it. */
export type PolicyAnswer = boolean | { readonly allowed: boolean; readonly reason?: string };

/**
 * A deployment's own rule, asked when every other has said yes. Anything but `true` or `{ allowed: true }`
 * is a no; so is what it throws, and no answer in time.
 */
export type PolicyFunction = (input: PolicyInput) => PolicyAnswer | Promise<PolicyAnswer>;

export interface PolicyOptions {
  readonly timeoutMs: number;
  /** Told what a policy threw: the record of the decision says only that it failed. */
  readonly onError: ((error: unknown) => void) | undefined;
}

const failed: Verdict = Object.freeze({ allowed: false, reason: 'policy_failed' });

/** A promise only where the policy gave one. */
export function askPolicy(policy: PolicyFunction, input: PolicyInput, options: PolicyOptions): Verdict | Promise<Verdict> {
  try {
    const answer = policy(input);
    return isPromise(answer) ? inTime(answer, options) : verdictOf(answer);
  } catch (error) {
    return tell(error, options);
  }
}

function tell(error: unknown, { onError }: PolicyOptions): Verdict {
  onError?.(error);
  return failed;
}

async function inTime(answer: PromiseLike<PolicyAnswer>, options: PolicyOptions): Promise<Verdict> {
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`the policy did not answer within ${options.timeoutMs} ms`)), options.timeoutMs);
    });
    return verdictOf(await Promise.race([answer, late]));
  } catch (error) {
    return tell(error, options);
  } finally {
    clearTimeout(timer);
  }
}

function isPromise(answer: PolicyAnswer | Promise<PolicyAnswer>): answer is Promise<PolicyAnswer> {
  return typeof answer === 'object' && answer !== null && 'then' in answer;
}

/** A policy may be JavaScript, or written elsewhere: its word is looked at. */
function verdictOf(answer: unknown): Verdict {
  if (typeof answer === 'boolean') return { allowed: answer, reason: answer ? 'policy' : 'policy_denied' };
  const { allowed, reason } = (answer ?? {}) as { readonly allowed?: unknown; readonly reason?: unknown };
  const isAllowed = allowed === true;
  return { allowed: isAllowed, reason: typeof reason === 'string' ? reason.slice(0, 200) : isAllowed ? 'policy' : 'policy_denied' };
}
