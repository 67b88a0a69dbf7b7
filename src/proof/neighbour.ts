// A well-behaved task beside the hostile one: reads the secret it was granted, says
// that it is done, and holds the secret until its supervisor goes. `neighbour.js JOB`

import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jobOf } from './scene.js';
import { onSupervisorGone, request } from './task-channel.js';

async function main(): Promise<void> {
  const { neighbour, neighbourVariable } = jobOf(process.argv);
  const { dag_id, run_id, task_id, map_index } = neighbour;
  const secret = await request({ type: 'GetVariable', key: neighbourVariable });
  if (!JSON.stringify(secret).includes('"value"')) throw new Error('the neighbour did not get its variable');
  writeFileSync(join(tmpdir(), 'notes'), JSON.stringify(secret), { mode: 0o600 }); // as programs do, and where they do
  await request({ type: 'SetXCom', dag_id, run_id, task_id, map_index, key: 'return_value', value: 'done' });
  onSupervisorGone(() => process.exit(secret === undefined ? 1 : 0));
}

void main();
