import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nativeProgram } from '../../native.js';
import type { Prop } from '../props.js';
import { credential } from './vault.js';

/** What native/proof/starter.c can leave to the supervisor that it starts. */
type Legacy = 'session-key' | 'user-key' | 'terminal' | 'shared-memory' | 'message-queue';

/** A starter that leaves its supervisor something that other processes of the user can reach, too. */
export function careless(legacy: Legacy): () => Prop {
  return () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-careless-'));
    const secret = credential();
    const shown = join(folder, 'shown');
    writeFileSync(shown, '');
    const name = `/sallyport-${randomUUID()}`; // of the key, or of the queue
    const typed = `sudo ${randomUUID()}`;
    return {
      told: { legacy: name, typed: `${typed}\n` },
      loot: { [`what its starter left it (${legacy})`]: secret },
      starter: [nativeProgram('attack'), 'starter', String(process.pid), legacy, secret, legacy === 'terminal' ? shown : name],
      seen: () => (readFileSync(shown, 'latin1').includes(typed) ? { verdict: 'disrupted', evidence: "a command was typed into the supervisor's terminal" } : undefined),
      end: () => rmSync(folder, { recursive: true, force: true }),
    };
  };
}
