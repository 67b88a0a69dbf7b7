// What this package claims on this host: hardens itself, launches one task, and prints as JSON
// what both report of each guarantee. `status-supervisor.js LEVEL`

import { EnforcementPartial, guaranteeNames, harden, launch, type Guarantee, type Level } from '../index.js';
import { nativeProgram } from '../native.js';

async function main(level: Level): Promise<void> {
  // Nothing is left out of the report for being absent: that is what is asked.
  const { guarantees } = harden({ level, without: guaranteeNames });
  const launched = await ofALaunch(level);
  console.log(JSON.stringify(guarantees.map((row) => launched.find(({ name }) => name === row.name) ?? row)));
}

/** As the plan of a real task has them; none where a launch is refused, and then harden()'s own rows say why. */
async function ofALaunch(level: Level): Promise<readonly Guarantee[]> {
  try {
    await using task = await launch([nativeProgram('attack')], { policy: { level }, stdout: 'ignore', stderr: 'ignore' });
    await task.exited;
    return task.plan.guarantees;
  } catch (error) {
    if (error instanceof EnforcementPartial) return [];
    throw error;
  }
}

void main(process.argv[2] === 'strict' ? 'strict' : 'standard');
