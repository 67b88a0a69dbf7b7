import type { Row } from '../attack.js';
import { keyrings, typing } from '../needs.js';
import { told } from '../scene.js';

export const inheritance: readonly Row[] = [
  { name: 'inherited-environment', title: 'inherited environment', kind: 'script', off: 'leaked', demo: true, how: 'prints its own environment variables' },
  { name: 'inherited-descriptor', title: 'inherited descriptor', kind: 'script', off: 'leaked', demo: true, how: 'reads every file its parent left open for it' },
  { name: 'session-key', title: 'session keyring', kind: 'native', off: 'leaked', needs: [keyrings], props: ['sessionKey'], args: (scene) => [told(scene, 'legacy')], how: "reads a key that the supervisor's starter keeps in the session" },
  { name: 'terminal-read', title: 'reading the terminal', kind: 'script', off: 'leaked', props: ['terminal'], how: 'reads what was typed into the terminal of its session' },
  { name: 'terminal-type', title: 'TIOCSTI', kind: 'native', off: 'disrupted', needs: [typing], props: ['terminal'], args: (scene) => [told(scene, 'typed')], how: 'types a command into the terminal of its session' },
  { name: 'shared-memory', title: 'System V shared memory', kind: 'native', off: 'leaked', props: ['sharedMemory'], how: 'attaches every segment of its user and reads it' },
  { name: 'message-queue', title: 'POSIX message queue', kind: 'native', off: 'leaked', props: ['messageQueue'], args: (scene) => [told(scene, 'legacy')], how: 'takes a message from a queue of its user' },
];
