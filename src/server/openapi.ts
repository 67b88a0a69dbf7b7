import type { TSchema } from '@sinclair/typebox';
import { Type } from '@sinclair/typebox';
import type { FastifySchema, RouteOptions } from 'fastify';
import type { App } from './app.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a route that ends in `*` also answers: a path behind the name, and what comes then. */
    readonly variants?: Readonly<Record<string, TSchema>>;
  }
}

export interface OpenApiOptions {
  readonly title: string;
  readonly version: string;
  /** Of the document, and of the routes that it is about. */
  readonly prefix: string;
  /** What a path's `*` is called. */
  readonly rest: string;
  /** What the bearer token is. */
  readonly credential: string;
}

type Schemas = FastifySchema & { readonly params?: TSchema; readonly querystring?: TSchema; readonly body?: TSchema; readonly response?: Readonly<Record<string, TSchema>> };

/** Collects the routes that are added from here on, and answers what they say of themselves: OpenAPI 3.1 at `{prefix}/openapi.json`. */
export function openApi(app: App, { title, version, prefix, rest, credential }: OpenApiOptions): void {
  const paths: Record<string, Record<string, object>> = {};
  const self = `${prefix}/openapi.json`;

  app.addHook('onRoute', (route) => {
    if (!route.url.startsWith(`${prefix}/`) || route.url === self) return;
    for (const [path, variant] of pathsOf(route, rest)) {
      const operations = (paths[path] ??= {});
      for (const method of [route.method].flat().map((each) => each.toLowerCase())) {
        // The HEAD that Fastify adds behind a GET is no route of ours.
        if (method !== 'head' || operations['get'] === undefined) operations[method] ??= operation(route, method, path, rest, variant);
      }
    }
  });

  let document: string | undefined;
  app.get(self, { config: { access: 'public' } }, (_request, reply) => {
    document ??= JSON.stringify({
      openapi: '3.1.0',
      info: { title, version },
      paths,
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: credential } }, schemas: { Error: ErrorBody } },
    });
    return reply.type('application/json').send(document);
  });
}

/** In Airflow's words: a reason and what was found, or what of the request is wrong. */
const ErrorBody = Type.Object({ detail: Type.Union([Type.Object({ reason: Type.String(), message: Type.String() }), Type.Array(Type.Object({ loc: Type.Array(Type.String()), msg: Type.String(), type: Type.String() })), Type.String()]) });

function* pathsOf({ url, config }: RouteOptions, rest: string): Iterable<readonly [string, TSchema | undefined]> {
  const path = url.replaceAll(/:(\w+)/g, '{$1}').replace('*', `{${rest}}`);
  yield [path, undefined];
  for (const [suffix, answer] of Object.entries(config?.variants ?? {})) yield [path + suffix, answer];
}

function operation({ schema = {}, config }: RouteOptions, method: string, path: string, rest: string, variant: TSchema | undefined): object {
  const { params, querystring, body, response = {} } = schema as Schemas;
  const known: Record<string, TSchema> = params?.['properties'] ?? {};
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({ name, in: 'path', required: true, schema: (name === rest ? known['*'] : known[name]) ?? querystring?.['properties']?.[name] ?? Type.String() }));
  const inQuery = Object.entries<TSchema>(querystring?.['properties'] ?? {})
    .filter(([name]) => !path.includes(`{${name}}`))
    .map(([name, each]) => ({ name, in: 'query', required: querystring?.['required']?.includes(name) ?? false, schema: each }));
  const answers = Object.entries(response).map(([status, answer]) => [status, { description: status, ...content(variant ?? answer) }]);
  const access = config?.access;
  return {
    operationId: `${method} ${path}`.replaceAll(/\W+/g, '_').replace(/_$/, ''),
    parameters: [...inPath, ...inQuery],
    ...(body && { requestBody: { required: true, ...content(mediaOf(body)) } }),
    responses: { ...(answers.length === 0 ? { '2XX': { description: 'done' } } : Object.fromEntries(answers)), '4XX': { description: 'refused', content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } } },
    security: access === 'public' ? [] : [{ bearer: [] }],
    ...(access !== undefined && { 'x-access': access }),
    ...(config?.resource !== undefined && { 'x-resource': config.resource }),
  };
}

/** A body that is kept as the text it came as is any JSON. */
const mediaOf = (body: TSchema): TSchema => (body['contentMediaType'] === 'application/json' ? Type.Unknown() : body);

const content = (schema: TSchema): object => (schema['type'] === 'undefined' ? {} : { content: { 'application/json': { schema } } });
