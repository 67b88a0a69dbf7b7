// A supervisor that is hardened as early as JavaScript can, and that a program of its own user waits for. `ordinary`: as people
// write it, its token in the environment, a credentials file left open. `sallyport`: started by `sallyport exec`, and
// of level strict. `try`: ends at once.

import { createInterface } from 'node:readline';
import { harden, Secret } from '../index.js';
import { names } from './scene.js';

function supervise(side: string): void {
  if (side === 'ordinary') harden({ without: ['start'] });
  else harden({ level: 'strict' });
  const token = side === 'ordinary' ? Secret.fromEnv(names.token) : Secret.fromExec('token');
  // What it does with it all day: whoever holds its memory finds it there.
  const header = (): string => token.use((bytes) => `Bearer ${Buffer.from(bytes).toString('latin1')}`);
  let kept = header();
  console.log('ready');
  createInterface({ input: process.stdin }).on('line', () => {
    console.log(kept === header() ? `holds ${token.byteLength} bytes` : 'does not hold it');
    kept = header();
  });
}

const side = process.argv[2] ?? 'try';
if (side !== 'try') supervise(side);
