import { Type } from '@sinclair/typebox';
import { Timestamp } from '../../execution-api/schema/common.js';

// What several routes are asked with.

/** 250 is Airflow's column. */
export const Id = Type.String({ minLength: 1, maxLength: 250 });
export const Uuid = Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' });
/** `id`, as the guard of `self` has it. */
export const ofTaskInstance = Type.Object({ id: Uuid });
export const MapIndex = Type.Integer({ minimum: -1, maximum: 2 ** 31 - 1 });
/** Given once for each item. */
export const Ids = Type.Optional(Type.Array(Type.String()));
export const Dates = Type.Optional(Type.Array(Timestamp));

/** Of answers. */
export const Message = Type.Object({ message: Type.String() });
export const NoContent = Type.Undefined();
