// The hostile task: the same program under both supervisors. Runs the attack it is
// named and nothing else. `node hostile.js NAME SCENE`

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Attack } from './attack.js';
import { catalogue } from './catalogue.js';
import { nativeProgram } from '../native.js';
import { marker, type Scene } from './scene.js';

/** What a file of src/proof/attacks exports. */
interface Script {
  run(scene: Scene, args: readonly string[]): void | Promise<void>;
}

async function carryOut(attack: Attack, scene: Scene): Promise<void> {
  const name = attack.runs ?? attack.name;
  const args = attack.args?.(scene) ?? [];
  if (attack.kind === 'script') {
    const script = (await import(`./attacks/${name}.js`)) as Script;
    return script.run(scene, args);
  }
  const target = attack.target === 'neighbour' ? scene.neighbourPid : scene.supervisorPid;
  const child = spawn(nativeProgram('attack'), [name, String(target), ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  if (code !== 0) throw new Error(`the program "attack" did not run to its end: ${signal ?? `exit code ${code}`}`);
}

async function main(name = '', scene = '{}'): Promise<void> {
  const attack = catalogue.find((candidate) => candidate.name === name);
  if (attack === undefined) throw new Error(`no attack is called ${name}`);
  console.log(marker.started(name));
  await carryOut(attack, JSON.parse(scene) as Scene);
  console.log(marker.finished(name));
  process.exit(); // an open channel would keep the process
}

void main(...process.argv.slice(2));
