// A whole supervisor, as a user would write one: `greeting-supervisor.js JOB`, its token
// in the environment. Prints the outcome as JSON.

import { fileURLToPath } from 'node:url';
import { ExecutionApi, harden, Secret, Supervisor } from '../index.js';
import type { GreetingJob } from './greeting.js';
import { names } from './scene.js';

async function main(text = '{}'): Promise<void> {
  harden();
  const { baseUrl, ti } = JSON.parse(text) as GreetingJob;
  await using api = new ExecutionApi({ baseUrl });
  await using supervisor = new Supervisor({ api, bundles: { examples: fileURLToPath(new URL('tasks', import.meta.url)) } });
  const workload = { type: 'ExecuteTask', ti, dag_rel_path: 'greet.js', bundle_info: { name: 'examples', version: null } };
  const outcome = await supervisor.run(workload, {
    token: Secret.fromEnv(names.token),
    grants: { variables: ['greeting'], connections: ['warehouse'] },
  });
  console.log(JSON.stringify({ state: outcome.state }));
}

void main(...process.argv.slice(2));
