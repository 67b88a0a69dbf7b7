import * as nodeModule from 'node:module';

/** Node's own types know registerHooks only in later versions. */
type Resolve = (specifier: string, context: unknown, next: (specifier: string, context: unknown) => unknown) => unknown;
const { createRequire, register } = nodeModule;
const registerHooks = (nodeModule as { registerHooks?: (hooks: { resolve: Resolve }) => void }).registerHooks;

/** What authors import, and where it is beside this file. */
const modules = { 'sallyport/task': './index.js', 'sallyport/dag': './dag/index.js' };

/**
 * A bundle need not have this package installed: where a module of its authors' side is not found beside the file, it is the
 * supervisor's own copy. Before Node 22.15 that holds for `import` alone.
 */
export function provideTaskModule(file: string): void {
  const { resolve } = createRequire(file);
  const absent = Object.entries(modules).filter(([specifier]) => {
    try {
      resolve(specifier);
      return false;
    } catch {
      return true; // not installed there
    }
  });
  if (absent.length === 0) return;
  const urls: Record<string, string> = Object.fromEntries(absent.map(([specifier, path]) => [specifier, new URL(path, import.meta.url).href]));
  if (registerHooks !== undefined) {
    registerHooks({ resolve: (wanted, context, next) => (Object.hasOwn(urls, wanted) ? { url: urls[wanted], shortCircuit: true } : next(wanted, context)) });
    return;
  }
  const hooks = `const urls = ${JSON.stringify(urls)}; export const resolve = (wanted, context, next) => (Object.hasOwn(urls, wanted) ? { url: urls[wanted], shortCircuit: true } : next(wanted, context));`;
  register(`data:text/javascript,${encodeURIComponent(hooks)}`);
}
