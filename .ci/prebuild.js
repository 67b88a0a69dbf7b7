// Puts what the package ships compiled into prebuilds/: the addon, the sweeper, the stage, and the
// attack programs of the demo, so that both work where install scripts are off and no compiler
// is. Builds in a folder of its own, for prebuildify takes its build folder apart.

import { chmodSync, copyFileSync, cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const prebuildify = promisify(createRequire(import.meta.url)('prebuildify'));
const shipped = join(root, 'prebuilds', `${process.platform}-${process.arch}`);

const folder = mkdtempSync(join(tmpdir(), 'sallyport-prebuild-'));
try {
  for (const part of ['native', 'binding.gyp', 'package.json']) cpSync(join(root, part), join(folder, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  rmSync(shipped, { recursive: true, force: true });
  // Node's own headers, when they came with it, save a download.
  const prefix = dirname(dirname(process.execPath));
  if (existsSync(join(prefix, 'include', 'node', 'node_api.h'))) process.env.npm_config_nodedir = prefix;
  await prebuildify({ cwd: folder, out: root, napi: true, strip: true, tagLibc: true, targets: [process.versions.node], quiet: true });
  for (const program of ['attack', 'stage', 'sweeper']) {
    copyFileSync(join(folder, 'build', 'Release', program), join(shipped, program));
    chmodSync(join(shipped, program), 0o755);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
