import type { Callback, Test } from 'uvu';

/** The suite where the host has what its tests need, else what leaves them out, and has said why. */
export function where(tests: Test, holds: boolean, what: string, missing = ''): (name: string, test: Callback) => void {
  if (holds) return tests;
  console.log(`  skipped: ${what} (${missing})`);
  return (name) => tests.skip(name);
}
