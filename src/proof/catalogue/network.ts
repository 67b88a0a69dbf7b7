import type { Row } from '../attack.js';
import { root } from '../needs.js';
import { told } from '../scene.js';

export const network: readonly Row[] = [
  { name: 'tcp', title: 'TCP', kind: 'script', off: 'leaked', props: ['services'], demo: true, how: 'connects to a service of this host' },
  { name: 'mptcp', title: 'MPTCP', kind: 'native', off: 'leaked', props: ['services'], args: (scene) => [told(scene, 'tcpPort')], how: 'connects by a protocol that rules on TCP did not cover' },
  { name: 'tcp-fast-open', title: 'TCP Fast Open', kind: 'native', off: 'leaked', props: ['services'], args: (scene) => [told(scene, 'tcpPort')], how: 'connects by sending, past rules on connect' },
  { name: 'udp', title: 'UDP', kind: 'script', off: 'leaked', props: ['services'], how: 'asks a service in a datagram' },
  { name: 'dns', title: 'DNS', kind: 'script', off: 'leaked', props: ['services'], how: 'carries data out in the name that it looks up' },
  { name: 'unix-socket', title: 'Unix socket by path', kind: 'script', off: 'leaked', props: ['services'], demo: true, how: 'connects to a socket that file rules of Landlock let through' },
  { name: 'abstract-socket', title: 'abstract Unix socket', kind: 'script', off: 'leaked', props: ['services'], how: 'connects to a socket whose name is no path' },
  { name: 'impostor', title: 'listen without bind', kind: 'native', off: 'leaked', props: ['services'], args: (scene) => [told(scene, 'vacantPort')], how: "takes a service's place and what its client sends" },
  { name: 'sniffer', title: 'packet socket', kind: 'native', off: 'leaked', needs: [root], props: ['services'], how: 'reads what others send over the loopback interface' },
];
