import type { Row } from '../attack.js';

export const leftovers: readonly Row[] = [
  { name: 'left-behind', title: 'left-behind process', kind: 'native', off: 'leaked', lingersMs: 1200, demo: true, how: 'leaves a daemon that reads the supervisor once the task is gone' },
  { name: 'deaf-daemon', title: 'daemon without ears', kind: 'native', off: 'disrupted', lingersMs: 1200, how: 'leaves a daemon that ignores and blocks every signal' },
  { name: 'fork-hopper', title: 'process that forks away', kind: 'native', off: 'disrupted', lingersMs: 1200, how: 'leaves a process that is another one every few milliseconds' },
  { name: 'stepchild', title: "supervisor's stepchild", kind: 'native', off: 'disrupted', lingersMs: 1200, how: 'has its child adopted by the supervisor, with CLONE_PARENT' },
  { name: 'half-dead', title: 'zombie that lives', kind: 'native', off: 'disrupted', lingersMs: 1200, how: 'leaves a process whose first thread has ended' },
  { name: 'stopped-child', title: 'stopped process', kind: 'native', off: 'disrupted', lingersMs: 1200, how: 'leaves a stopped process, which is woken later' },
  { name: 'orphan', title: "supervisor's death", kind: 'native', off: 'disrupted', supervisorDies: true, lingersMs: 1200, demo: true, how: 'lives on when the supervisor is killed' },
];
