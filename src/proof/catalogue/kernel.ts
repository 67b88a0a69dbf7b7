import type { Row } from '../attack.js';
import { i386, ioUring, keyrings, perfEvents, root } from '../needs.js';
import { told } from '../scene.js';

export const kernel: readonly Row[] = [
  { name: 'io-uring', title: 'io_uring', kind: 'native', off: 'leaked', needs: [ioUring], props: ['vault'], args: (scene) => [told(scene, 'secretFile')], demo: true, how: 'opens and reads a file by requests that no filter sees' },
  { name: 'other-abi', title: 'int 0x80', kind: 'native', off: 'leaked', needs: [i386], props: ['vault'], args: (scene) => [told(scene, 'secretFile')], how: "makes an i386 program's calls, whose numbers are others" },
  { name: 'user-key', title: 'user keyring', kind: 'native', off: 'leaked', needs: [keyrings], props: ['userKey'], args: (scene) => [told(scene, 'legacy')], how: 'asks the kernel for a key that the user keeps there' },
  { name: 'userfaultfd', title: 'userfaultfd', kind: 'native', off: 'leaked', props: ['objects'], how: "gets a hold on the kernel's page faults" },
  { name: 'perf-event', title: 'perf_event_open', kind: 'native', off: 'leaked', needs: [perfEvents], props: ['objects'], how: "opens one of the kernel's counters" },
  { name: 'bpf-map', title: 'bpf', kind: 'native', off: 'leaked', needs: [root], props: ['objects'], how: 'makes a map for programs that run in the kernel' },
  { name: 'fanotify', title: 'fanotify', kind: 'native', off: 'leaked', needs: [root], props: ['objects'], how: 'asks to be told of every file that is opened' },
  { name: 'personality', title: 'personality', kind: 'native', off: 'leaked', props: ['personalities'], how: 'turns the randomness of memory addresses off' },
];
