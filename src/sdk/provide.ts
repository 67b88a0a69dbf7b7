import * as nodeModule from 'node:module';
import { fileURLToPath } from 'node:url';

/** Node's own types know registerHooks only in later versions. */
type Resolve = (specifier: string, context: unknown, next: (specifier: string, context: unknown) => unknown) => unknown;
const { createRequire, register } = nodeModule;
const registerHooks = (nodeModule as { registerHooks?: (hooks: { resolve: Resolve }) => void }).registerHooks;

/** Node's own loader of CommonJS, which had no hooks before. */
type Loader = { _resolveFilename(wanted: string, ...rest: unknown[]): string };

/** What authors import, and where it is beside this file. */
const modules = { 'sallyport/task': './index.js', 'sallyport/dag': './dag/index.js', 'sallyport/trigger': './trigger/index.js' };
/** Once is enough for all files of a process. */
const provided = new Set<string>();

/**
 * A bundle need not have this package installed: where a module of its authors' side is not found beside the file that imports it, it is
 * the supervisor's own copy, for `import` and `require`. Before Node 22.15 that takes a thread of Node's that resolves everything.
 *
 * @param path Of any file in the folder, there or not, below which files are going to be imported.
 */
export function provideTaskModule(path: string): void {
  const { resolve } = createRequire(path);
  const absent = Object.entries(modules).filter(([specifier]) => {
    if (provided.has(specifier)) return false;
    try {
      resolve(specifier);
      return false;
    } catch {
      return true; // not installed for all that is there
    }
  });
  if (absent.length === 0) return;
  for (const [specifier] of absent) provided.add(specifier);
  const urls: Record<string, string> = Object.fromEntries(absent.map(([specifier, file]) => [specifier, new URL(file, import.meta.url).href]));
  if (registerHooks !== undefined) {
    registerHooks({
      resolve(wanted, context, next) {
        if (!Object.hasOwn(urls, wanted)) return next(wanted, context);
        try {
          return next(wanted, context);
        } catch {
          return { url: urls[wanted], shortCircuit: true };
        }
      },
    });
    return;
  }
  const hooks = `const urls = ${JSON.stringify(urls)};
    export const resolve = (wanted, context, next) => (Object.hasOwn(urls, wanted) ? next(wanted, context).catch(() => ({ url: urls[wanted], shortCircuit: true })) : next(wanted, context));`;
  register(`data:text/javascript,${encodeURIComponent(hooks)}`);
  const loader = nodeModule.Module as unknown as Loader;
  const find = loader._resolveFilename;
  loader._resolveFilename = (wanted, ...rest) => {
    const own = Object.hasOwn(urls, wanted) ? urls[wanted] : undefined;
    if (own === undefined) return find.call(loader, wanted, ...rest);
    try {
      return find.call(loader, wanted, ...rest);
    } catch {
      return fileURLToPath(own);
    }
  };
}
