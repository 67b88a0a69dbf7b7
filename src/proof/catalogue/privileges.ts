import type { Row } from '../attack.js';
import { root, userNamespaces } from '../needs.js';
import { told } from '../scene.js';

export const privileges: readonly Row[] = [
  { name: 'set-uid', title: 'set-uid program', kind: 'script', off: 'leaked', props: ['setUidProgram', 'identities'], how: 'runs a program that runs as its owner' },
  { name: 'regain-capabilities', title: 'capabilities of uid 0', kind: 'native', off: 'leaked', needs: [root], props: ['foreignFile'], args: (scene) => [told(scene, 'foreignFile')], how: 'asks for every capability back, also by execve as root, and reads what only those open' },
  { name: 'user-namespace', title: 'user namespace', kind: 'native', off: 'leaked', needs: [userNamespaces], props: ['identities'], demo: true, how: 'makes a user namespace, in which it has every capability' },
  { name: 'clone3-namespace', title: 'user namespace by clone3', kind: 'native', off: 'leaked', needs: [userNamespaces], props: ['identities'], how: 'does the same where a filter cannot see the flags' },
  { name: 'mount-over', title: 'mount over a folder', kind: 'native', off: 'disrupted', needs: [userNamespaces], props: ['mounts'], args: (scene) => [told(scene, 'mountPoint')], how: 'hides a folder under a file system of its own' },
];
