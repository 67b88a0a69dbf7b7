import { constants } from 'node:os';
import type { Row } from '../attack.js';
import { attaching } from '../needs.js';

const target = 'neighbour';

export const siblings: readonly Row[] = [
  { name: 'sibling-memory', title: "sibling's memory", kind: 'native', runs: 'proc-mem', off: 'leaked', target, needs: [attaching], demo: true, how: 'reads what another task of the same supervisor was given' },
  { name: 'sibling-ptrace', title: 'ptrace of a sibling', kind: 'native', runs: 'ptrace', off: 'leaked', target, needs: [attaching], how: "attaches to another task and peeks at its stack" },
  { name: 'sibling-environ', title: "sibling's environment", kind: 'native', runs: 'proc-environ', off: 'leaked', target, how: 'reads what it was started with' },
  { name: 'sibling-descriptor', title: "sibling's descriptors", kind: 'native', runs: 'pidfd-getfd', off: 'leaked', target, needs: [attaching], how: 'takes what it inherited out of it' },
  { name: 'sibling-scratch', title: "sibling's scratch folder", kind: 'script', off: 'leaked', how: 'reads what another task noted in its folder for temporary files' },
  { name: 'sibling-start', title: "sibling's start", kind: 'native', runs: 'start-mem', args: ({ neighbourCode }) => [neighbourCode], starts: 'another task', off: 'leaked', needs: [attaching], how: 'waits for another task to start and holds its memory open' },
  { name: 'sibling-kill', title: 'SIGKILL to a sibling', kind: 'native', runs: 'kill', off: 'disrupted', target, how: 'kills another task' },
  { name: 'sibling-stop', title: 'SIGSTOP to a sibling', kind: 'native', runs: 'kill', args: () => [String(constants.signals.SIGSTOP)], off: 'disrupted', target, how: 'stops another task' },
  { name: 'sibling-prlimit', title: 'prlimit of a sibling', kind: 'native', runs: 'prlimit', off: 'disrupted', target, how: 'leaves another task without a new descriptor' },
];
