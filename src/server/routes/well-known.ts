import type { AccessOptions } from '../access.js';
import type { App } from '../app.js';

/** Whoever verifies asks again after it, so that a key which is to sign is published for longer before. */
const maxAgeSeconds = 300;

/** What is not Airflow's Execution API, and so not below its path. */
export function wellKnown(app: App, { tokens }: AccessOptions): void {
  // RFC 7517 section 8.5.2 names the type. Airflow's `[api_auth] trusted_jwks_url` reads it.
  app.get('/.well-known/jwks.json', { config: { access: 'public' } }, (_request, reply) =>
    reply.type('application/jwk-set+json').header('cache-control', `public, max-age=${maxAgeSeconds}`).send(JSON.stringify(tokens.jwks)),
  );
}
