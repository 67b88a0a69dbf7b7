import type { Row } from '../attack.js';
import { root } from '../needs.js';
import { names, told } from '../scene.js';

export const files: readonly Row[] = [
  { name: 'sibling-code', title: "sibling's code", kind: 'script', runs: 'rewrite', args: () => [names.neighbourCode, 'append', 'replace'], off: 'disrupted', demo: true, how: 'rewrites the file another task starts from' },
  { name: 'secret-file', title: 'file outside the policy', kind: 'script', off: 'leaked', props: ['vault'], demo: true, how: 'reads a file that it was not granted' },
  { name: 'other-names', title: 'file by other names', kind: 'native', off: 'leaked', props: ['vault'], args: (scene) => [told(scene, 'vault'), 'secret'], how: 'reads it by way of /proc, of folders opened as names, of an empty path' },
  { name: 'secret-link', title: 'link to a file', kind: 'script', off: 'leaked', props: ['vault', 'workshop'], how: 'links or moves it into a folder of its own, and reads it there' },
  { name: 'settings-file', title: 'change of a file', kind: 'script', off: 'disrupted', props: ['vault', 'workshop'], how: 'changes, empties, replaces and removes a file outside the policy' },
  { name: 'file-modes', title: 'modes and times of a file', kind: 'script', off: 'disrupted', props: ['vault'], how: 'changes what is known of a file without opening it' },
  { name: 'file-names', title: 'names of files', kind: 'script', off: 'leaked', props: ['vault'], how: 'lists and watches a folder outside the policy' },
  { name: 'unlisted-program', title: 'program outside the policy', kind: 'script', off: 'leaked', props: ['vault'], how: 'runs a program, itself or by its interpreter' },
  { name: 'memory-program', title: 'program in memory', kind: 'native', off: 'leaked', props: ['programs'], how: 'runs a program that is no file, from memfd_create' },
  { name: 'open-by-handle', title: 'open_by_handle_at', kind: 'native', off: 'leaked', needs: [root], props: ['vault', 'workshop'], args: (scene) => [told(scene, 'secretFile'), told(scene, 'workshop')], how: 'opens a file by its number in the file system' },
  { name: 'device-node', title: 'device file', kind: 'native', off: 'disrupted', needs: [root], props: ['workshop'], args: (scene) => [told(scene, 'device')], how: "makes a device, the machine's memory, in a folder of its own" },
];
