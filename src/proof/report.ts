import type { AttackResult } from './runner.js';

/** One row of `--json`, whose words and fields others read. */
export interface ReportRow {
  readonly name: string;
  readonly unprotected: string;
  readonly protected: string;
  readonly detail: string;
}

export function reportRow({ attack, unprotected, protected: guarded }: AttackResult): ReportRow {
  return {
    name: attack.name,
    unprotected: unprotected.verdict,
    protected: guarded.verdict,
    detail: `${attack.how}; ordinary: ${unprotected.evidence}; sallyport: ${guarded.evidence}`,
  };
}

/** What the hardened supervisor is for: anything but `blocked`, an attack that did not run included, is a failure. */
export const held = ({ protected: guarded }: AttackResult): boolean => guarded.verdict === 'blocked';

/** The exit code of a run of the catalogue. One that showed nothing did not succeed. */
export function exitCodeOf(results: readonly AttackResult[]): 0 | 1 {
  return results.length > 0 && results.every(held) ? 0 : 1;
}
