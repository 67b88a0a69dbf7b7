import { type TSchema, Type } from '@sinclair/typebox';
import { notJson } from '../../broker/frame.js';
import { printable } from '../../broker/message.js';
import { BrokerDenied } from '../../errors.js';
import { Timestamp } from '../schema/common.js';

// What Airflow's messages are made of.

export const Nullish = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));
/** Keys, ids, URIs: what ends in a path or a query. */
export const Name = Type.String({ minLength: 1, maxLength: 1500 });
export const Names = Nullish(Type.Array(Type.String({ maxLength: 1500 })));
export const MapIndex = Nullish(Type.Integer({ minimum: -1, maximum: 2 ** 31 - 1 }));
/** Msgpack's own timestamp, as Airflow's Python sends it, or text. */
export const Moment = Type.Union([Timestamp, Type.Date()]);
export const Moments = Nullish(Type.Array(Moment));
export const Count = Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 });
export const Offset = Type.Integer({ minimum: -(2 ** 31) + 1, maximum: 2 ** 31 - 1 });

type Moment = string | Date;

/** As the API reads it. */
export function iso(moment: Moment): string;
export function iso(moment: Moment | null | undefined): string | undefined;
export function iso(moment: Moment | null | undefined): string | undefined {
  return moment instanceof Date ? moment.toISOString() : (moment ?? undefined);
}

export const isos = (moments: readonly Moment[] | null | undefined): string[] | undefined => moments?.map((each) => iso(each));

export const now = (): string => new Date().toISOString();

/** @throws {BrokerDenied} `ERR_BROKER_DENIED`: where in the message's field, and of what kind. */
export function assertJson(method: string, field: string, value: unknown): void {
  const found = notJson(value ?? null);
  if (found !== undefined) throw new BrokerDenied(method, `has a value that is not JSON: ${printable(`/${field}${found.path}`)}: ${found.kind}`);
}
