// Programs of the system that single tests need and a fresh machine lacks. Installed where we may, as root with apt-get; elsewhere,
// or when that fails, those tests say what they lack and are passed over. `npm test` by itself installs nothing of the system's.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Which test wants it. */
const tools = { crun: 'test/container.ts', gdb: 'test/harden.ts, the demo', postgresql: 'test/server-postgres.ts' };

const works = (program, ...args) => spawnSync(program, args, { stdio: 'ignore' }).status === 0;
/** Debian keeps a server's programs, one folder a version, out of the path. */
const has = (tool) => (tool === 'postgresql' ? existsSync('/usr/lib/postgresql') : works(tool, '--version'));
const absent = Object.keys(tools).filter((tool) => !has(tool));

if (absent.length > 0 && process.getuid() === 0 && works('apt-get', '--version')) {
  console.error(`tools: installing ${absent.join(', ')} (apt-get)`);
  const options = { stdio: ['ignore', 'ignore', 'inherit'], timeout: 300_000, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  const install = () => spawnSync('apt-get', ['install', '--yes', '--quiet', '--no-install-recommends', ...absent], options).status === 0;
  if (!install()) void (spawnSync('apt-get', ['update', '--quiet'], options).status === 0 && install());
}
for (const tool of absent.filter((name) => !has(name))) console.error(`tools: without ${tool}, for ${tools[tool]}`);
