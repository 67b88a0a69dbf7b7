import type { Row } from '../attack.js';
import type { Scene } from '../scene.js';
import { attaching, closedBirth } from '../needs.js';

/** In the command line of every supervisor of this scene. */
const word = ({ folder }: Scene): string => `"folder":"${folder}"`;

/** Off: the second supervisor hardens itself as early as JavaScript can; its watchers are not locked in. */
const starts = 'another supervisor';

const birth = { kind: 'native', from: 'birth', off: 'leaked', needs: [closedBirth, attaching] } as const;

export const start: readonly Row[] = [
  { name: 'start-mem', title: 'memory held from the start', kind: 'native', args: (scene) => [word(scene)], starts, off: 'leaked', needs: [attaching], demo: true, how: 'waits for a supervisor to start, opens its memory, reads it once it is hardened' },
  { name: 'start-environ', title: 'environ at the start', kind: 'native', args: (scene) => [word(scene)], starts, off: 'leaked', how: 'reads its environment before it can be wiped' },
  { name: 'start-trace', title: 'ptrace at the start', kind: 'native', args: (scene) => [word(scene)], starts, off: 'leaked', needs: [attaching], how: 'attaches before it hardens itself, and peeks at its stack' },
  { name: 'start-inotify', title: 'inotify on the node binary', kind: 'native', args: (scene) => [word(scene), process.execPath], starts, off: 'leaked', needs: [attaching], how: 'is told of the start by the file system, and holds the memory open' },
  { name: 'start-left-behind', title: 'left-behind watcher', kind: 'native', args: (scene) => [word(scene)], starts, off: 'leaked', lingersMs: 2500, needs: [attaching], how: 'a process that an earlier task left behind does the same' },

  // Against any process of the user: on, the supervisor is started by `sallyport exec --user`, or with a node that cannot be read.
  { name: 'birth-mem', title: 'memory held from birth', ...birth, how: 'a program of the user, there before the supervisor, tries to open its memory until it can, and reads it from then on' },
  { name: 'birth-environ', title: 'environ from birth', ...birth, how: 'the same with its environment' },
  { name: 'birth-descriptor', title: 'descriptors from birth', ...birth, how: 'the same with what it has open, where secrets arrive' },
  { name: 'birth-trace', title: 'ptrace from birth', ...birth, how: 'the same, to stop it and peek at its stack' },
];
