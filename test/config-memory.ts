// Where the secrets of a configuration are while it is loaded, refused, and forgotten: nowhere that another process can read.

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fixture, inChild, withoutCapabilities } from './helpers/fixture.js';

const memory = suite('config-memory');

interface Found {
  environ: string;
  memory: string;
  copies: number;
  where: string[];
}

interface Life {
  started: Found;
  held: Found;
  destroyed: Found;
  said: { code: string | null; secrets: string[]; protection: string | null; inEnvironment: boolean };
}

async function life(where: 'variable' | 'file' | 'credential', role: string, how = ''): Promise<Life> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-'));
  const canary = `canary${randomBytes(24).toString('hex')}`;
  const file = join(folder, 'airflow.cfg');
  writeFileSync(file, `[api_auth]\njwt_leeway = 10\n${where === 'file' ? `jwt_secret = ${canary}\n` : ''}`, { mode: 0o600 });
  if (where === 'credential') writeFileSync(join(folder, 'AIRFLOW__API_AUTH__JWT_SECRET'), canary, { mode: 0o400 });
  const env: Record<string, string> = where === 'variable' ? { AIRFLOW__API_AUTH__JWT_SECRET: canary } : where === 'credential' ? { CREDENTIALS_DIRECTORY: folder } : {};
  const fixture = new Fixture('config-life.js', { args: [file, role, how], env, through: withoutCapabilities });
  const search = async (): Promise<Found> => {
    const found = await inChild<Found>('attack.js', { args: [String(fixture.pid), canary], through: withoutCapabilities });
    assert.is(found.memory, 'read', 'the search itself works');
    return found;
  };
  try {
    await fixture.next();
    const started = await search();
    fixture.go();
    const said = await fixture.next<Life['said']>();
    const held = await search();
    fixture.go();
    await fixture.next();
    return { started, held, destroyed: await search(), said };
  } finally {
    await fixture.end();
    rmSync(folder, { recursive: true });
  }
}

/** In ordinary memory that is locked there is the secret itself, and no copy. */
const own = (protection: string | null): number => (protection === 'mlock' ? 1 : 0);

memory("a variable's secret leaves the environment and leaves no copy; to enumerate the environment leaves some", async () => {
  const { started, held, destroyed, said } = await life('variable', 'scheduler');
  assert.is(started.environ, 'leaked'); // control
  assert.ok(started.copies >= 1); // control
  assert.equal(said.secrets, ['api_auth.jwt_secret']);
  assert.is(said.inEnvironment, false);
  assert.is(held.environ, 'read');
  assert.is(held.copies, own(said.protection), held.where.join('\n'));
  assert.is(destroyed.copies, 0, destroyed.where.join('\n'));
  const enumerated = await life('variable', 'scheduler', 'string');
  assert.ok(enumerated.held.copies > enumerated.started.copies, 'why the names are asked for natively');
});

memory('one that is refused is wiped all the same', async () => {
  const { started, held, said } = await life('variable', 'worker');
  assert.is(started.environ, 'leaked'); // control
  assert.equal([said.code, said.inEnvironment], ['ERR_CONFIG_REFUSED', false]);
  assert.is(held.environ, 'read');
  assert.is(held.copies, 0, held.where.join('\n'));
});

memory("a file's is read without a copy, refused or not", async () => {
  const refused = await life('file', 'scheduler');
  assert.is(refused.said.code, 'ERR_CONFIG_REFUSED');
  assert.is(refused.held.copies, 0, refused.held.where.join('\n'));
  const let_ = await life('file', 'scheduler', 'off');
  assert.equal(let_.said.secrets, ['api_auth.jwt_secret']); // control: it was read
  assert.is(let_.held.copies, own(let_.said.protection), let_.held.where.join('\n'));
  assert.is(let_.destroyed.copies, 0, let_.destroyed.where.join('\n'));
});

memory('a credential of systemd\'s is read the same way, and refused to a role that must not have it', async () => {
  const taken = await life('credential', 'scheduler');
  assert.equal(taken.said.secrets, ['api_auth.jwt_secret']); // control: it was read
  assert.is(taken.held.copies, own(taken.said.protection), taken.held.where.join('\n'));
  assert.is(taken.destroyed.copies, 0, taken.destroyed.where.join('\n'));
  const refused = await life('credential', 'worker');
  assert.is(refused.said.code, 'ERR_CONFIG_REFUSED');
  assert.is(refused.held.copies, 0, refused.held.where.join('\n'));
});

memory('a process that is hardened, and may not look into its own /proc any more, reads from each place', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-'));
  try {
    const file = join(folder, 'airflow.cfg');
    writeFileSync(file, '[api_auth]\njwt_leeway = 10\n', { mode: 0o600 });
    writeFileSync(join(folder, 'AIRFLOW__CORE__FERNET_KEY'), 'x', { mode: 0o400 });
    const fixture = new Fixture('config-life.js', { args: [file, 'scheduler', 'hardened'], env: { AIRFLOW__API_AUTH__JWT_SECRET: 'x', CREDENTIALS_DIRECTORY: folder }, through: withoutCapabilities });
    await fixture.next();
    fixture.go();
    const said = await fixture.next<Life['said']>();
    assert.equal([said.code, said.secrets, said.inEnvironment], [null, ['api_auth.jwt_secret', 'core.fernet_key'], false]);
    const seen = await inChild<Found>('attack.js', { args: [String(fixture.pid), 'x'], through: withoutCapabilities });
    assert.not.equal(seen.memory, 'read', 'it is hardened');
    await fixture.end();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

memory.run();
