import type { Declares } from '../../authorization/index.js';
import type { Owner, Resource, ResourceKind } from '../../authorization/resource.js';
import type { TaskInstanceState } from '../state.js';
import type { TokenClaims, TokenStanding } from '../../tokens/index.js';
import { one, type Sql } from './sql.js';
import { standingColumn, standingValues } from './tokens.js';

/** What authorization asks the database for: who somebody is, and whose something is. */
export interface Found {
  /** What the registry says of the token that asks. */
  readonly token: TokenStanding;
  readonly identity: FoundIdentity;
  /** Only what was asked for. */
  readonly owner: Owner;
}

/** Which try of which task, as its row has it. */
export interface Try {
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly try_number: number;
}

export interface FoundIdentity extends Try {
  readonly id: string;
  readonly state: TaskInstanceState | null;
  readonly last_heartbeat_at: string | null;
  /** There is a later try. */
  readonly replaced: boolean;
  readonly team: string | null;
  readonly declares: Declares | null;
}

/** Which parts of an identity a deployment's rules look at; what is not looked at is not read. */
export interface IdentityParts {
  readonly team: boolean;
  readonly declares: boolean;
}

type Row = Omit<FoundIdentity, 'id' | 'replaced' | 'team' | 'declares'> & { readonly replaced: number; readonly team?: string | null; readonly declares?: string | null; readonly owner?: string | null; readonly token: TokenStanding | null };

const later = 'SELECT 1 FROM task_instances AS later WHERE later.dag_id = ti.dag_id AND later.run_id = ti.run_id AND later.task_id = ti.task_id AND later.map_index = ti.map_index AND later.try_number > ti.try_number';
const teamOf = (dag: string): string => `SELECT bundles.team FROM dags JOIN bundles ON bundles.name = dags.bundle WHERE dags.dag_id = ${dag}`;

/** Nothing: it is not there. Empty: it is nobody's. An asset's name, or its uri, may be that of several: whose they are has to be one team. */
const ownerByDag = "SELECT COALESCE(bundles.team, '') FROM dags LEFT JOIN bundles ON bundles.name = dags.bundle WHERE dags.dag_id = :owned";
const oneTeam = "SELECT CASE WHEN MIN(COALESCE(team, '')) = MAX(COALESCE(team, '')) THEN MIN(COALESCE(team, '')) END FROM assets";
const owners: Readonly<Record<string, string>> = {
  variable: "SELECT COALESCE(team, '') FROM variables WHERE key = :owned",
  connection: "SELECT COALESCE(team, '') FROM connections WHERE conn_id = :owned",
  'asset name': `${oneTeam} WHERE name = :owned`,
  'asset uri': `${oneTeam} WHERE uri = :owned`,
  'asset alias': `${oneTeam} JOIN asset_aliases USING (name, uri) WHERE alias = :owned`,
} satisfies Partial<Record<ResourceKind | `asset ${string}`, string>>;

function ownership(resource: Resource): { readonly kind: string; readonly owned: string } {
  if (resource.kind === 'variable') return { kind: 'variable', owned: 'key' in resource ? resource.key : resource.prefix };
  if (resource.kind === 'connection') return { kind: 'connection', owned: resource.conn_id };
  if (resource.kind !== 'asset' && resource.kind !== 'asset_state') return { kind: 'dag', owned: resource.dag_id };
  if ('name' in resource) return { kind: 'asset name', owned: resource.name };
  return 'uri' in resource ? { kind: 'asset uri', owned: resource.uri } : { kind: 'asset alias', owned: resource.alias };
}

/** A name of what an owner is looked up by, no two the same. */
export function ownerName(resource: Resource): string {
  const { kind, owned } = ownership(resource);
  return `${kind} ${owned}`;
}

const texts = new Map<string, string>();

/** One statement for each use, put together once. */
function select({ team, declares }: IdentityParts, kind: string): string {
  const name = `${team ? 'team' : ''} ${declares ? 'declares' : ''} ${kind}`;
  let text = texts.get(name);
  if (text === undefined) {
    const columns = [
      'ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number, ti.state, ti.last_heartbeat_at',
      `CASE WHEN EXISTS (${later}) THEN 1 ELSE 0 END AS replaced`,
      `${standingColumn} AS token`,
      ...(team ? [`(${teamOf('ti.dag_id')}) AS team`] : []),
      ...(declares ? ['(SELECT dags.declares FROM dags WHERE dags.dag_id = ti.dag_id) AS declares'] : []),
      ...(kind === '' ? [] : [`(${owners[kind] ?? ownerByDag}) AS owner`]),
    ];
    texts.set(name, (text = `SELECT ${columns.join(', ')} FROM task_instances AS ti WHERE ti.id = :id`));
  }
  return text;
}

/** Whether a token is one that was registered, who its subject is and, where it matters, whose the resource is: one statement. */
export function* findIdentity(claims: TokenClaims, parts: IdentityParts, resource?: Resource): Sql<Found | undefined> {
  const asked = resource === undefined ? { kind: '', owned: '' } : ownership(resource);
  const row = yield* one<Row>(select(parts, asked.kind), asked.kind === '' ? standingValues(claims) : Object.assign(standingValues(claims), { owned: asked.owned }));
  if (row === undefined) return undefined;
  // Field by field: spreading what the binding returns costs more than the statement.
  const { dag_id, run_id, task_id, map_index, try_number, state, last_heartbeat_at, replaced, token, team = null, declares = null, owner = null } = row;
  const identity = { id: claims.sub, dag_id, run_id, task_id, map_index, try_number, state, last_heartbeat_at, replaced: replaced !== 0, team, declares: parsed(declares) };
  return { token: token ?? 'unregistered', identity, owner: ownerOf(owner) };
}

/** Whose it is, when who asks is known already. */
export function* findOwner(resource: Resource): Sql<Owner> {
  const { kind, owned } = ownership(resource);
  return ownerOf((yield* one<{ owner: string | null }>(`SELECT (${owners[kind] ?? ownerByDag}) AS owner`, { owned }))?.owner ?? null);
}

const ownerOf = (owner: string | null): Owner => (owner === null ? undefined : owner === '' ? null : owner);

const declarations = new Map<string, Declares>();

/** The same text at each request of a DAG's tasks: parsed once. */
function parsed(text: string | null): Declares | null {
  if (text === null) return null;
  let declares = declarations.get(text);
  if (declares === undefined) {
    if (declarations.size >= 1000) declarations.clear();
    declarations.set(text, (declares = JSON.parse(text) as Declares));
  }
  return declares;
}
