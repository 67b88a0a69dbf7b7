import * as nodeModule from 'node:module';

/** Node's own types know registerHooks only in later versions. */
type Resolve = (specifier: string, context: unknown, next: (specifier: string, context: unknown) => unknown) => unknown;
const { createRequire, register } = nodeModule;
const registerHooks = (nodeModule as { registerHooks?: (hooks: { resolve: Resolve }) => void }).registerHooks;

const specifier = 'sallyport/task';

/**
 * A bundle need not have this package installed: where `sallyport/task` is not found beside the task file, it is the
 * supervisor's own copy. Before Node 22.15 that holds for `import` alone.
 */
export function provideTaskModule(file: string): void {
  try {
    createRequire(file).resolve(specifier);
    return;
  } catch {
    // Not installed there.
  }
  const url = new URL('./index.js', import.meta.url).href;
  if (registerHooks !== undefined) {
    registerHooks({ resolve: (wanted, context, next) => (wanted === specifier ? { url, shortCircuit: true } : next(wanted, context)) });
    return;
  }
  const hooks = `export const resolve = (wanted, context, next) => (wanted === ${JSON.stringify(specifier)} ? { url: ${JSON.stringify(url)}, shortCircuit: true } : next(wanted, context));`;
  register(`data:text/javascript,${encodeURIComponent(hooks)}`);
}
