import { constants } from 'node:os';
import type { Row } from '../attack.js';

const { SIGSTOP } = constants.signals;

export const signals: readonly Row[] = [
  { name: 'sigkill', title: 'SIGKILL', kind: 'native', runs: 'kill', off: 'disrupted', demo: true, how: 'kills the supervisor' },
  { name: 'sigstop', title: 'SIGSTOP', kind: 'native', runs: 'kill', args: () => [String(SIGSTOP)], off: 'disrupted', demo: true, how: 'stops the supervisor where it stands' },
  { name: 'kill-group', title: 'kill of the process group', kind: 'native', off: 'disrupted', how: 'kills every process of the group that the supervisor leads' },
  { name: 'tgkill', title: 'tgkill', kind: 'native', off: 'disrupted', how: 'kills it by each of its threads' },
  { name: 'sigqueue', title: 'sigqueue', kind: 'native', off: 'disrupted', how: 'kills it with a signal that carries a value' },
  { name: 'pidfd-send-signal', title: 'pidfd_send_signal', kind: 'native', off: 'disrupted', how: 'kills it by a descriptor of it' },
  { name: 'sigio', title: 'F_SETOWN, F_SETSIG', kind: 'native', off: 'disrupted', how: 'has the kernel kill it when a socket of the task has something to read' },
  { name: 'sigio-group', title: 'F_SETOWN of a process group', kind: 'native', off: 'disrupted', how: 'the same to its process group' },
  { name: 'sigio-thread', title: 'F_SETOWN_EX', kind: 'native', off: 'disrupted', how: 'the same to one of its threads' },
  { name: 'sigio-ioctl', title: 'FIOSETOWN', kind: 'native', off: 'disrupted', how: 'the same by ioctl, with SIGIO' },
  { name: 'sigio-lease', title: 'F_SETLEASE', kind: 'native', args: ({ aside }) => [aside], off: 'disrupted', how: "has the kernel kill it when somebody opens a file of the task's" },
];
