import type { Row } from '../attack.js';
import type { Scene } from '../scene.js';
import { attaching } from '../needs.js';

/** In the command line of every supervisor of this scene. */
const word = ({ folder }: Scene): string => `"folder":"${folder}"`;

/** Off: the second supervisor hardens itself as early as JavaScript can; its watchers are not locked in. */
const starts = 'another supervisor';

export const start: readonly Row[] = [
  { name: 'start-mem', title: 'memory held from the start', kind: 'native', args: (scene) => [word(scene)], starts, off: 'leaked', needs: [attaching], demo: true, how: 'waits for a supervisor to start, opens its memory, reads it once it is hardened' },
  { name: 'start-environ', title: 'environ at the start', kind: 'native', args: (scene) => [word(scene)], starts, off: 'leaked', how: 'reads its environment before it can be wiped' },
  { name: 'start-trace', title: 'ptrace at the start', kind: 'native', args: (scene) => [word(scene)], starts, off: 'leaked', needs: [attaching], how: 'attaches before it hardens itself, and peeks at its stack' },
  { name: 'start-inotify', title: 'inotify on the node binary', kind: 'native', args: (scene) => [word(scene), process.execPath], starts, off: 'leaked', needs: [attaching], how: 'is told of the start by the file system, and holds the memory open' },
  { name: 'start-left-behind', title: 'left-behind watcher', kind: 'native', args: (scene) => [word(scene)], starts, off: 'leaked', lingersMs: 2500, needs: [attaching], how: 'a process that an earlier task left behind does the same' },
];
