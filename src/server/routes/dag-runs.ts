import { Type } from '@sinclair/typebox';
import type { Action } from '../../authorization/resource.js';
import { DagRun, DagRunState, DagRunStateAnswer, TriggerDagRun } from '../../execution-api/schema.js';
import { Nullable, Timestamp } from '../../execution-api/schema/common.js';
import { authorize, claimsOf, type AccessOptions } from '../access.js';
import { sendJson, type App } from '../app.js';
import { absent, Problem } from '../problem.js';
import { clearDagRun, countDagRuns, getDagRun, getDagRunState, getPreviousDagRun, triggerDagRun } from '../store/dag-runs.js';
import { hasImportErrors } from '../store/dags.js';
import { storedNow } from '../store/time.js';
import { Dates, Id, Ids, NoContent } from './params.js';

const params = Type.Object({ dag_id: Id, run_id: Id });
const config = (action: Action) => ({ access: 'task', resource: { kind: 'dag_run', action } }) as const;
const url = '/dag-runs/:dag_id/:run_id';

export function dagRuns(app: App, { database, now }: AccessOptions): void {
  /** Before it is started or cleared. */
  async function checkDag(dag_id: string): Promise<void> {
    const broken = await database.run(hasImportErrors(dag_id));
    if (broken === undefined) throw absent(`Dag with dag_id: '${dag_id}' not found`);
    if (broken) throw new Problem(400, { reason: 'import_errors', message: `Dag with dag_id '${dag_id}' has import errors and cannot be triggered` });
  }

  app.get(url, { config: config('read'), schema: { params, response: { 200: DagRun } } }, async (request) => {
    const { dag_id, run_id } = request.params;
    await authorize(request, { kind: 'dag_run', dag_id, run_id });
    const run = await database.run(getDagRun(dag_id, run_id));
    if (run === undefined) throw noRun(dag_id, run_id);
    return run;
  });

  app.get(`${url}/state`, { config: config('read'), schema: { params, response: { 200: DagRunStateAnswer } } }, async (request, reply) => {
    const { dag_id, run_id } = request.params;
    await authorize(request, { kind: 'dag_run', dag_id, run_id });
    const state = await database.run(getDagRunState(dag_id, run_id));
    if (state === undefined) throw noRun(dag_id, run_id);
    return reply.send({ state } as { state: 'queued' });
  });

  const count = Type.Object({ dag_id: Id, logical_dates: Dates, run_ids: Ids, states: Ids });
  app.get('/dag-runs/count', { config: config('read'), schema: { querystring: count, response: { 200: Type.Integer() } } }, async (request, reply) => {
    const { dag_id, ...filter } = request.query;
    await authorize(request, { kind: 'dag_run', dag_id });
    return reply.send(await database.run(countDagRuns(dag_id, filter)));
  });

  const previous = Type.Object({ dag_id: Id, logical_date: Timestamp, state: Type.Optional(DagRunState) });
  app.get('/dag-runs/previous', { config: config('read'), schema: { querystring: previous, response: { 200: Nullable(DagRun) } } }, async (request, reply) => {
    const { dag_id, logical_date, state } = request.query;
    await authorize(request, { kind: 'dag_run', dag_id });
    return sendJson(reply, await database.run(getPreviousDagRun(dag_id, logical_date, state)));
  });

  app.post(url, { config: config('write'), schema: { params, body: TriggerDagRun, response: { 204: NoContent } } }, async (request, reply) => {
    const { dag_id, run_id } = request.params;
    await authorize(request, { kind: 'dag_run', dag_id, run_id });
    await checkDag(dag_id);
    const started = await database.run(triggerDagRun(dag_id, run_id, request.body, claimsOf(request).sub, storedNow(now())));
    if (!started) throw new Problem(409, { reason: 'already_exists', message: `A run already exists for Dag '${dag_id}' with run_id '${run_id}'` });
    return reply.code(204).send();
  });

  app.post(`${url}/clear`, { config: config('write'), schema: { params, response: { 204: NoContent } } }, async (request, reply) => {
    const { dag_id, run_id } = request.params;
    await authorize(request, { kind: 'dag_run', dag_id, run_id });
    await checkDag(dag_id);
    if (!(await database.transaction(clearDagRun(dag_id, run_id, storedNow(now()))))) throw absent(`Dag run with run_id: '${run_id}' not found`);
    return reply.code(204).send();
  });
}

const noRun = (dag_id: string, run_id: string): Problem => absent(`Dag run with dag_id '${dag_id}' and run_id '${run_id}' was not found`);
