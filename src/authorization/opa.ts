import type { PolicyAnswer, PolicyFunction } from './policy.js';

export interface OpaOptions {
  /** Which of the rules that the policy was built with is asked. @default the first that was given to `opa build -e` */
  readonly entrypoint?: string;
  /** What Rego calls `data`. @default {} */
  readonly data?: object;
}

/**
 * A Rego policy as `opa build -t wasm` compiles it: `policy.wasm` out of its bundle. Its `input` is
 * {@link PolicyInput}; the rule's value is `true`, or `{"allowed": true, "reason": …}`. One that is
 * undefined, false or of another shape is a no. Evaluated in this process, without waiting.
 *
 * @throws `ERR_MODULE_NOT_FOUND` where the optional package @open-policy-agent/opa-wasm is not installed.
 * @throws What WebAssembly throws for bytes that are none, and an Error for an entrypoint that the policy has not.
 */
export async function opaPolicy(wasm: Uint8Array, { entrypoint, data }: OpaOptions = {}): Promise<PolicyFunction> {
  const { loadPolicy } = await load();
  // A copy: the package wants an ArrayBuffer of its own, and a Buffer is a part of one.
  const policy = await loadPolicy(Uint8Array.from(wasm).buffer).catch(asError);
  if (entrypoint !== undefined && !Object.hasOwn(policy.entrypoints, entrypoint)) throw new Error(`the policy has no entrypoint "${entrypoint}"; it has ${Object.keys(policy.entrypoints).join(', ')}`);
  if (data !== undefined) policy.setData(data);
  return (input) => {
    try {
      const [answer] = policy.evaluate(input, entrypoint ?? 0) as readonly { readonly result: PolicyAnswer }[];
      return answer?.result ?? false;
    } catch (error) {
      return asError(error);
    }
  };
}

/** The package throws text. */
function asError(thrown: unknown): never {
  throw thrown instanceof Error ? thrown : new Error(`the policy could not be evaluated: ${typeof thrown === 'string' ? thrown : JSON.stringify(thrown)}`);
}

async function load(): Promise<typeof import('@open-policy-agent/opa-wasm')> {
  try {
    return await import('@open-policy-agent/opa-wasm');
  } catch (cause) {
    throw Object.assign(new Error('opaPolicy needs the package "@open-policy-agent/opa-wasm": npm install @open-policy-agent/opa-wasm', { cause }), { code: 'ERR_MODULE_NOT_FOUND' as const });
  }
}
