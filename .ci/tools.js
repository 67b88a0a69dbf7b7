// Programs of the system that single tests need and a fresh machine lacks. Installed where we may, as root with apt-get; elsewhere,
// or when that fails, those tests say what they lack and are passed over. `npm test` by itself installs nothing of the system's.

import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Which test wants it. */
const tools = { crun: 'test/container.ts', gdb: 'test/harden.ts, the demo', postgresql: 'test/server-postgres.ts', 'redis-server': 'test/bullmq.ts' };

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

// Airflow's own clients, from the Python package registry, in folders of this checkout. Made with the system's Python where that suits: one in
// somebody's home is of no use to another user of a copy.
const system = '/usr/bin/python3';
const python = [system, 'python3'].find((each) => works(each, '-c', 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))'));
for (const [folder, version] of [['airflow-client', '1.2.2'], ['airflow-client-3.3', '1.3.2']]) {
  const client = fileURLToPath(new URL(`../.cache/${folder}`, import.meta.url));
  const hasClient = () => works(`${client}/bin/python`, '-c', 'import airflow.sdk.api.client') && (python !== system || realpathSync(`${client}/bin/python`).startsWith('/usr/'));
  if (!hasClient() && python !== undefined) {
    console.error(`tools: installing Airflow's client, Task SDK ${version} (pip)`);
    const options = { stdio: ['ignore', 'ignore', 'inherit'], timeout: 600_000 };
    rmSync(client, { recursive: true, force: true });
    void (spawnSync(python, ['-m', 'venv', client], options).status === 0 && spawnSync(`${client}/bin/pip`, ['install', '--quiet', '--disable-pip-version-check', `apache-airflow-task-sdk==${version}`], options));
  }
  if (!hasClient()) console.error(`tools: without Airflow's client, Task SDK ${version}, for test/messages-airflow.ts and test/server-routes.ts`);
}
