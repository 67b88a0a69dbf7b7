// A supervisor as people write it today: the tokens in its environment, each task a
// child_process.fork, what the tasks ask for forwarded to the API. The left column.

import { fork, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fail, obey, runnerLine, tell } from './control.js';
import { jobOf, names, sceneOf } from './scene.js';

interface Message {
  readonly id: number;
  readonly type: string;
  readonly key: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly value: unknown;
}

const job = jobOf(process.argv);
const runner = runnerLine();

async function callApi(token: string | undefined, path: string, init: { method?: string; body?: string } = {}): Promise<Response> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'airflow-api-version': '2026-04-06' };
  return fetch(`${job.baseUrl}${path}`, { ...init, headers });
}

async function answer(token: string | undefined, message: Message): Promise<unknown> {
  if (message.type === 'GetVariable') return (await callApi(token, `variables/${message.key}`)).json();
  if (message.type !== 'SetXCom') return { error: 'unknown type' };
  const path = [message.dag_id, message.run_id, message.task_id, message.key].map(encodeURIComponent).join('/');
  const response = await callApi(token, `xcoms/${path}?map_index=${message.map_index}`, { method: 'POST', body: JSON.stringify(message.value) });
  return { status: response.status };
}

function start(file: string, args: string[], token: string | undefined): ChildProcess {
  const child = fork(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  child.on('message', (message: Message) => {
    void answer(token, message).then((reply) => {
      child.send({ id: message.id, reply });
      if (child === neighbour && message.type === 'SetXCom') tell(runner, { type: 'ready', neighbourPid: child.pid ?? 0 });
    });
  });
  return child;
}

function attack(): void {
  const args = [job.attack, JSON.stringify(sceneOf(job, process.pid, neighbour.pid ?? 0))];
  const hostile = start(fileURLToPath(new URL('hostile.js', import.meta.url)), args, process.env[names.token]);
  tell(runner, { type: 'started', hostilePid: hostile.pid ?? 0 });
  hostile.on('exit', (code, signal) => tell(runner, { type: 'ended', how: `${signal ?? `exit code ${code}`}`, violation: false }));
}

async function check(): Promise<void> {
  closeSync(openSync('/dev/null', 'r'));
  const response = await callApi(process.env[names.token], `variables/${job.ownVariable}`);
  tell(runner, { type: 'checked', answer: ((await response.json()) as { value: string }).value });
}

const startNeighbour = (): ChildProcess => start(join(job.folder, names.neighbourCode), [JSON.stringify(job)], process.env[names.neighbourToken]);
const neighbour = startNeighbour();
neighbour.on('exit', () => fail(runner, new Error('the neighbour ended')));
obey(runner, { attack, another: () => void startNeighbour(), check }, () => process.exit());
