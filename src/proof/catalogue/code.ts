import type { Row } from '../attack.js';
import { names } from '../scene.js';

const entry = names.supervisorCode;

export const code: readonly Row[] = [
  { name: 'supervisor-code', title: "supervisor's code", kind: 'script', runs: 'rewrite', args: () => [entry, 'append', 'replace'], off: 'disrupted', demo: true, how: 'rewrites the file the supervisor starts from' },
  { name: 'code-truncate', title: "supervisor's code, truncated", kind: 'native', runs: 'truncate', args: ({ supervisorCode }) => [supervisorCode], off: 'disrupted', how: 'empties it by its path' },
  { name: 'code-remove', title: "supervisor's code, removed", kind: 'script', runs: 'rewrite', args: () => [entry, 'remove'], off: 'disrupted', how: 'takes it away' },
  { name: 'code-mode', title: "supervisor's code, its mode", kind: 'script', runs: 'rewrite', args: () => [entry, 'mode'], off: 'disrupted', how: 'lets every user of the host write it' },
  { name: 'code-link', title: "supervisor's code, linked", kind: 'script', runs: 'rewrite', args: () => [entry, 'link'], off: 'disrupted', how: 'gives it a second name and writes to that' },
  { name: 'code-symlink', title: "supervisor's code, a symlink", kind: 'script', runs: 'rewrite', args: () => [entry, 'symlink'], off: 'disrupted', how: 'puts a link to a file of its own in its place' },
  { name: 'code-folder', title: "supervisor's folder", kind: 'script', runs: 'rewrite', args: () => [entry, 'folder'], off: 'disrupted', how: 'moves the whole folder away and makes another' },
  { name: 'code-dependency', title: 'dependency', kind: 'script', runs: 'rewrite', args: () => ['node_modules/banner/index.js', 'append', 'replace'], off: 'disrupted', how: 'rewrites a package that the supervisor loads' },
  { name: 'code-shadow', title: 'shadowing dependency', kind: 'script', runs: 'rewrite', args: () => ['node_modules/undici/index.js', 'put'], off: 'disrupted', how: 'puts a package where Node looks for it first' },
  { name: 'code-manifest', title: 'package.json', kind: 'script', runs: 'rewrite', args: () => ['package.json', 'append', 'replace'], off: 'disrupted', how: 'changes what the names of packages mean' },
  { name: 'code-npmrc', title: '.npmrc', kind: 'script', runs: 'rewrite', args: () => ['.npmrc', 'append', 'replace'], off: 'disrupted', how: 'has the next installation run scripts' },
  { name: 'code-hook', title: 'git hook', kind: 'script', runs: 'rewrite', args: () => ['.git/hooks/post-merge', 'put'], off: 'disrupted', how: 'plants a program that the next update runs' },
];
