import { Type } from '@sinclair/typebox';
import { method, type Method, type MethodTable } from '../../broker/index.js';
import { BrokerDenied } from '../../errors.js';
import { lookups, type Lookup } from '../lookups.js';
import type { CellOptions } from './cell-options.js';

const nobody = { id: '', dag_id: '', run_id: '', task_id: '', map_index: -1, try_number: 0 };

/**
 * The rows by which a process of many triggers looks something up: each request says whose it is, and is that trigger's own row's to
 * permit and to answer.
 *
 * @param tableOf The rows of one of the process's triggers; undefined for any other id.
 */
export function lookupsOfEach({ lookup, team, authorizer }: CellOptions, tableOf: (id: number) => MethodTable | undefined): MethodTable {
  // Which rows there are, whoever answers them.
  const any = lookup === undefined ? undefined : ({} as Lookup);
  const forms = lookups({ lookup: any, grants: {}, declares: {}, identity: nobody, team, authorizer, masker: undefined });
  return Object.fromEntries(Object.entries(forms).map(([name, form]) => [name, rowOfEach(name, form, tableOf)]));
}

function rowOfEach(name: string, form: Method, tableOf: (id: number) => MethodTable | undefined): Method {
  return method({
    params: Type.Composite([form.params as ReturnType<typeof Type.Object>, Type.Object({ trigger_id: Type.Integer() })]),
    permit: ({ trigger_id, ...asked }) => {
      const row = tableOf(trigger_id as number)?.[name];
      if (row === undefined) throw new BrokerDenied(name, 'is not granted to this trigger, or names none of this process');
      const granted = row.permit === undefined ? asked : row.permit(asked as never);
      return granted === undefined ? undefined : ({ row, granted } as never);
    },
    handler: (permitted, context) => {
      const { row, granted } = permitted as unknown as { readonly row: Method; readonly granted: never };
      return row.handler(granted, context);
    },
  });
}
