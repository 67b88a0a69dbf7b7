import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { KernelUnsupported } from './errors.js';

/**
 * What the addon exports, one block a noun, in the order of native/addon/addon.cc.
 * Nothing else in this package knows how the addon is loaded.
 */
export interface Native {
  // dumpable
  disableDumpable(): void;
  getDumpable(): number;
}

const packageRoot = fileURLToPath(new URL('..', import.meta.url));

let loaded: Native | undefined;

/**
 * The addon, loaded at first use, so that importing the package works on any platform.
 *
 * @throws {KernelUnsupported} `ERR_KERNEL_UNSUPPORTED` on another platform than Linux,
 *   or where neither a prebuilt nor a compiled addon is found.
 */
export function native(): Native {
  if (loaded === undefined) {
    if (process.platform !== 'linux') {
      throw new KernelUnsupported('Linux', `this is ${process.platform}; Sallyport protects nothing here`);
    }
    try {
      // node-gyp-build looks in prebuilds/ and build/ below the folder it is given.
      const load = createRequire(import.meta.url)('node-gyp-build') as (root: string) => Native;
      loaded = load(packageRoot);
    } catch (cause) {
      throw new KernelUnsupported('the native addon', 'no prebuilt or compiled one could be loaded; run `npm rebuild sallyport`', { cause });
    }
  }
  return loaded;
}
