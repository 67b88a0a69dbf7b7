import { unlinkSync } from 'node:fs';
import { fill } from './disk-filler.js';

/** The same with files that have no name any more: who adds up a folder does not find them. */
export async function run(): Promise<void> {
  await fill(unlinkSync);
}
