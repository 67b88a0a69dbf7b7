import { spawnSync } from 'node:child_process';
import { told, type Scene } from '../scene.js';
import { refused } from './refused.js';

/** Runs a program: as itself, by its interpreter, by the loader. */
export function run(scene: Scene): void {
  const program = told(scene, 'teller');
  for (const words of [[program], ['/bin/sh', program], ['/bin/sh', '-c', `. ${program}`], [process.execPath, '--eval', `process.stdout.write(fs.readFileSync(${JSON.stringify(program)}))`]]) {
    const [command = '', ...rest] = words;
    const { stdout, stderr, error } = spawnSync(command, rest, { encoding: 'utf8' });
    console.log(stdout ?? '');
    const complaint = error?.message ?? /.*(denied|EACCES|EPERM|cannot open).*/.exec(stderr)?.[0];
    if (complaint !== undefined) refused(complaint);
  }
}
