// The OpenAPI documents: valid by OpenAPI's own schema, about every route, and true: each answer in this file is held against them.
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Secret } from '../lib/secrets/secret.js';
import { ApiServer, here, startDate } from './helpers/api-server.js';

const openapi = suite('server-openapi');
const credential = randomBytes(32).toString('base64url');
const endDate = '2026-04-06T00:01:00Z';

interface Operation {
  readonly operationId: string;
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<Record<string, { readonly content?: { readonly 'application/json': { readonly schema: object } } }>>;
  readonly security: readonly object[];
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

async function withDocuments(use: (api: ApiServer, admin: string, documents: { readonly execution: Document; readonly admin: Document }) => Promise<void>): Promise<void> {
  await using api = await ApiServer.start({ adminCredential: Secret.fromBytes(Buffer.from(credential)) }, { variables: { region: 'north' }, connections: [{ conn_id: 'c', conn_type: 'x' }], assets: [{ name: 'a', uri: 's3://a' }], dags: [{ dag_id: 'daily', task_assets: { t: [{ name: 'a', uri: 's3://a' }] } }] });
  const admin = await api.server.listenAdmin();
  const [execution, ofAdmin] = await Promise.all([api.ask('GET', 'openapi.json'), api.ask('GET', `${admin}openapi.json`, credential)]);
  await use(api, admin, { execution: execution.body as Document, admin: ofAdmin.body as Document });
}

openapi('both documents are valid, and the one of the tasks is public', () =>
  withDocuments(async (api, admin, documents) => {
    for (const document of Object.values(documents)) {
      const { valid, errors } = await new Validator().validate(structuredClone(document) as never);
      assert.ok(valid, JSON.stringify(errors));
    }
    // Control: the validator does see what is wrong.
    const broken = structuredClone(documents.execution) as unknown as { paths: Record<string, { get: { responses: unknown } }> };
    broken.paths['/execution/health'] = { get: { responses: 'none' } };
    assert.not.ok((await new Validator().validate(broken as never)).valid);
    assert.is((await api.ask('GET', `${admin}openapi.json`)).status, 401);
    const ids = Object.values(documents).flatMap(({ paths }) => Object.values(paths).flatMap((operations) => Object.values(operations).map(({ operationId }) => operationId)));
    assert.is(new Set(ids).size, ids.length);
  }),
);

openapi('docs/server.md has every route of the admin API, and no other', () =>
  withDocuments(async (_api, _admin, { admin }) => {
    const table = readFileSync(new URL('../docs/server.md', import.meta.url), 'utf8').split('| Route below `/admin` |')[1]?.split('\n\n')[0] ?? '';
    const nouns = (paths: readonly string[]): string[] => [...new Set(paths.map((path) => path.split(/[/?{]/)[1] ?? ''))].sort();
    const rows = [...table.matchAll(/^\| ([^|]*) \|/gm)].flatMap(([, cell = '']) => [...cell.matchAll(/`(\/[^`]+)`/g)].map(([, path = '']) => path));
    assert.equal(nouns(rows), nouns([...Object.keys(admin.paths).map((path) => path.replace('/admin', '')), '/openapi.json']));
  }),
);

/** In an order in which each succeeds; `{…}` of the path are filled in from `values`. */
const requests: readonly (readonly [string, string, { readonly body?: unknown; readonly query?: string; readonly as?: 'workload' }?])[] = [
  ['get', '/execution/health'],
  ['get', '/execution/health/ping'],
  ['patch', '/execution/task-instances/{id}/run', { body: { state: 'running', start_date: startDate, ...here }, as: 'workload' }],
  ['put', '/execution/task-instances/{id}/heartbeat', { body: { hostname: here.hostname, pid: here.pid } }],
  ['put', '/execution/task-instances/{id}/rtif', { body: { a: 'b' } }],
  ['patch', '/execution/task-instances/{id}/rendered-map-index', { body: 'label' }],
  ['patch', '/execution/task-instances/{id}/skip-downstream', { body: { tasks: ['other'] } }],
  ['patch', '/execution/task-instances/{id}/dag-run-note', { body: { note: 'why' } }],
  ['get', '/execution/task-instances/{id}/previous-successful-dagrun'],
  ['get', '/execution/task-instances/{id}/validate-inlets-and-outlets'],
  ['get', '/execution/task-instances/count', { query: 'dag_id=daily' }],
  ['get', '/execution/task-instances/states', { query: 'dag_id=daily' }],
  ['get', '/execution/task-instances/previous/{dag_id}/{task_id}'],
  ['get', '/execution/task-instances/breadcrumbs', { query: 'dag_id=daily&run_id=r' }],
  ['get', '/execution/task-reschedules/{id}/start_date'],
  ['post', '/execution/hitlDetails/{id}', { body: { ti_id: '', options: ['yes', 'no'], subject: 's' } }],
  ['patch', '/execution/hitlDetails/{id}', { body: { ti_id: '', chosen_options: ['yes'] } }],
  ['get', '/execution/hitlDetails/{id}'],
  ['put', '/execution/store/ti/{id}/{key}', { body: { value: { a: 1 } } }],
  ['get', '/execution/store/ti/{id}/{key}'],
  ['delete', '/execution/store/ti/{id}/{key}'],
  ['delete', '/execution/store/ti/{id}'],
  ['put', '/execution/variables/{key}', { body: { val: 'x' } }],
  ['get', '/execution/variables/{key}'],
  ['delete', '/execution/variables/{key}'],
  ['get', '/execution/connections/{conn_id}'],
  ['post', '/execution/xcoms/{dag_id}/{run_id}/{task_id}/{key}', { body: [1, { a: null }] }],
  ['head', '/execution/xcoms/{dag_id}/{run_id}/{task_id}/{key}'],
  ['get', '/execution/xcoms/{dag_id}/{run_id}/{task_id}/{key}'],
  ['get', '/execution/xcoms/{dag_id}/{run_id}/{task_id}/{key}/item/{offset}'],
  ['get', '/execution/xcoms/{dag_id}/{run_id}/{task_id}/{key}/slice', { query: 'start=0&stop=1' }],
  ['delete', '/execution/xcoms/{dag_id}/{run_id}/{task_id}/{key}'],
  ['get', '/execution/dag-runs/{dag_id}/{run_id}'],
  ['get', '/execution/dag-runs/{dag_id}/{run_id}/state'],
  ['get', '/execution/dag-runs/count', { query: 'dag_id=daily' }],
  ['get', '/execution/dag-runs/previous', { query: 'dag_id=daily&logical_date=2026-04-06T00:00:00Z' }],
  ['post', '/execution/dag-runs/{dag_id}/{run_id}', { body: {} }],
  ['post', '/execution/dag-runs/{dag_id}/{run_id}/clear'],
  ['get', '/execution/dags/{dag_id}'],
  ['get', '/execution/dags/{dag_id}/state'],
  ['get', '/execution/assets/by-name', { query: 'name=a' }],
  ['get', '/execution/assets/by-uri', { query: 'uri=s3://a' }],
  ['get', '/execution/assets/by-alias', { query: 'alias_name=none' }],
  ...['name=a', 'uri=s3://a'].flatMap((query): (typeof requests)[number][] => {
    const path = `/execution/store/asset/by-${query.split('=', 1)[0]}`;
    return [['put', `${path}/value`, { query: `${query}&key=k`, body: { value: 1 } }], ['get', `${path}/value`, { query: `${query}&key=k` }], ['delete', `${path}/value`, { query: `${query}&key=k` }], ['delete', `${path}/clear`, { query }]];
  }),
  ['get', '/execution/asset-events/by-asset', { query: 'name=a&uri=s3://a' }],
  ['get', '/execution/asset-events/by-asset-alias', { query: 'name=none' }],
  ['patch', '/execution/task-instances/{id}/state', { body: { state: 'success', end_date: endDate } }],
];

openapi('it is about every route, each succeeds as it says, and is refused as it says', () =>
  withDocuments(async (api, _admin, { execution }) => {
    const documented = Object.entries(execution.paths).flatMap(([path, operations]) => Object.keys(operations).map((method) => `${method} ${path}`));
    assert.equal(requests.map(([method, path]) => `${method} ${path}`).sort(), documented.sort());

    const id = randomUUID();
    await api.server.seed({ taskInstances: [{ id, dag_id: 'daily', run_id: 'r', task_id: 't' }, { id: randomUUID(), dag_id: 'daily', run_id: 'r', task_id: 'other' }] });
    const workload = await api.server.issueWorkloadToken(id);
    let token = '';
    const ajv = new Ajv2020({ strict: false });
    const values: Record<string, string> = { id, dag_id: 'daily', run_id: 'r', task_id: 't', key: 'k/1', conn_id: 'c', offset: '0' };

    for (const [method, path, { body, query, as } = {}] of requests) {
      const operation = execution.paths[path]?.[method] as Operation;
      // Another run is triggered, and cleared.
      const filled = path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => encodeURIComponent(name === 'run_id' && method === 'post' && path.startsWith('/execution/dag-runs') ? 'r2' : (values[name] ?? '')));
      const sent = typeof body === 'object' && body !== null && 'ti_id' in body ? { ...body, ti_id: id } : body;
      const response = await fetch(new URL(filled + (query === undefined ? '' : `?${query}`), api.url), {
        method: method.toUpperCase(),
        headers: { ...(path.includes('/health') ? {} : { authorization: `Bearer ${as === 'workload' ? workload : token}` }), ...(sent !== undefined && { 'content-type': 'application/json' }) },
        body: sent === undefined ? null : JSON.stringify(sent),
      });
      const text = await response.text();
      token = response.headers.get('refreshed-api-token') ?? token;
      const answer = operation.responses[String(response.status)];
      assert.ok(response.status < 300 && answer !== undefined, `${method} ${path}: ${response.status} ${text}`);
      const schema = answer.content?.['application/json'].schema;
      if (schema === undefined) assert.is(text, '', `${method} ${path}`);
      else assert.ok(ajv.validate(schema, JSON.parse(text)), `${method} ${path}: ${text}: ${ajv.errorsText()}`);

      const without = await api.ask(method.toUpperCase(), filled);
      assert.is(without.status === 401, operation.security.length > 0, `${method} ${path}`);
      if (without.status === 401 && method !== 'head') assert.ok(ajv.validate((execution as unknown as { components: { schemas: { Error: object } } }).components.schemas.Error, without.body));
    }
  }),
);

openapi.run();
