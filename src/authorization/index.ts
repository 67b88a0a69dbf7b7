export { Authorizer, type AuthorizerOptions, type Decision } from './authorizer.js';
export type { Declares, Identity } from './identity.js';
export { opaPolicy, type OpaOptions } from './opa.js';
export type { PolicyAnswer, PolicyFunction, PolicyInput } from './policy.js';
export type { DecisionListener, DecisionRecord } from './record.js';
export type { Action, Owner, Resource, ResourceKind } from './resource.js';
