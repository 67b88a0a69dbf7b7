// The same supervisor, written with this package: it hardens itself, its tokens are
// secrets, its tasks are born locked and ask through the broker. The right column.

import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { executionApiMethods } from '../execution-api/methods.js';
import { ExecutionApi, harden, launch, policies, Secret, type Audit, type Task } from '../index.js';
import { fail, obey, runnerLine, tell } from './control.js';
import { nativeProgram } from '../native.js';
import { taskCode } from './locate.js';
import { jobOf, names, sceneOf, type Identity } from './scene.js';

const job = jobOf(process.argv);
const { level, without } = job;
harden({ level, without, wipeArguments: true });
const api = new ExecutionApi({ baseUrl: job.baseUrl, token: Secret.fromEnv(names.token) });
const neighbourApi = api.withToken(Secret.fromEnv(names.neighbourToken));
/** Held, and never opened. */
const unusedKey = Secret.fromEnv(names.unusedKey);
const runner = runnerLine();
/** The neighbour first. */
const tasks: Task[] = [];

// What a Node task needs, the code it is made of, and the program whose attacks are to be tried.
const { read = [], execute = [], write = [], limits = {} } = job.grants;
const policy = policies.node({ level, without, read: [...taskCode(), job.folder, ...read], execute: [nativeProgram('attack'), ...execute], write, limits });

/** One task: what it may ask for is a variable and its own results, and whose channel it is says whose those are. */
async function start(args: string[], identity: Identity, tiApi: ExecutionApi, variable: string, audit: Audit = () => {}): Promise<Task> {
  const methods = executionApiMethods({
    api: tiApi,
    identity: { ...identity, try_number: 1 },
    grants: { variables: [variable] },
    report: { claim() {}, async send() {} }, // these tasks are not reported: the runner looks at what they did
  });
  const task = await launch([process.execPath, ...args], { policy, methods, audit, stdout: 'inherit', stderr: 'inherit' });
  tasks.push(task);
  return task;
}

const startNeighbour = (audit?: Audit): Promise<Task> => start([join(job.folder, names.neighbourCode), JSON.stringify(job)], job.neighbour, neighbourApi, job.neighbourVariable, audit);

/** Holds its secret until the end; that it ends before is somebody's doing. */
async function superviseNeighbour(): Promise<void> {
  const audit: Audit = ({ method, outcome }) => {
    if (method === 'SetXCom' && outcome === 'allowed') tell(runner, { type: 'ready', neighbourPid: tasks[0]?.pid ?? 0 });
  };
  const task = await startNeighbour(audit);
  await task.exited;
  throw new Error('the neighbour ended');
}

async function attack(): Promise<void> {
  const args = [fileURLToPath(new URL('hostile.js', import.meta.url)), job.attack, JSON.stringify(sceneOf(job, process.pid, tasks[0]?.pid ?? 0))];
  const hostile = await start(args, job.hostile, api, job.ownVariable);
  tell(runner, { type: 'started', hostilePid: hostile.pid });
  const exit = await hostile.exited;
  const how = exit.kind === 'ended' ? exit.violation.message : exit.kind === 'signaled' ? String(exit.signal) : `exit code ${exit.exitCode}`;
  tell(runner, { type: 'ended', how, violation: exit.kind === 'ended' });
}

async function check(): Promise<void> {
  closeSync(openSync('/dev/null', 'r'));
  tell(runner, { type: 'checked', answer: (await api.getVariable(job.ownVariable)).value ?? '' });
}

async function end(): Promise<void> {
  unusedKey.destroy();
  await Promise.all(tasks.map((task) => task[Symbol.asyncDispose]()));
  process.exit();
}

obey(runner, { attack, another: async () => void (await startNeighbour()), check }, () => void end());
superviseNeighbour().catch((error: unknown) => fail(runner, error));
