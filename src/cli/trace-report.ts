import type { RefusedCall } from '../task/trace.js';
import { pad, wrappedRow } from './table.js';

/** The flag that gives a policy's field, where there is one. */
const flags: Readonly<Record<string, string>> = { read: '--read', write: '--write', execute: '--execute', 'network.connect': '--connect', 'network.listen': '--listen' };

/** A path or an address of the task's own making: nothing in it reaches a terminal but what can be seen. */
export const visible = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu, '?');

/** What to add to the command line, or to a policy file where no flag says it; undefined: nothing can grant it. */
export function grantOf({ grant }: RefusedCall): string | undefined {
  if (grant === undefined) return undefined;
  const [, field = '', value = ''] = /^([\w.]+): (.*)$/s.exec(grant) ?? [];
  if (field === 'network') return '--connect HOST:PORT or --listen PORT';
  const flag = Object.hasOwn(flags, field) ? flags[field] : undefined;
  return visible(flag === undefined ? `"${field}": ${value} in a policy file` : `${flag} ${value}`);
}

/** What a policy refused, one call a line, what can be granted first. Pure. */
export function traceReport(refused: readonly RefusedCall[], columns: number): string {
  if (refused.length === 0) return 'the policy refused nothing';
  const times = Math.max(...refused.map(({ count }) => String(count).length));
  const sorted = [...refused].sort((a, b) => Number(b.grant !== undefined) - Number(a.grant !== undefined));
  const lines = sorted.map((row) => {
    const what = [row.call, ...(row.detail === undefined ? [] : [visible(row.detail)])].join(' ');
    const width = 2 + times + 1;
    return wrappedRow([`${pad('', times - String(row.count).length)}${row.count}x`, `${what}: ${row.action}; ${grantOf(row) ?? (row.action === 'ENOSYS' ? 'as on a kernel without it' : 'nothing grants it')}`], [width - 2], columns);
  });
  return ['refused by the policy:', ...lines].join('\n');
}
