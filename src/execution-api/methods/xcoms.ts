import { type Static, Type } from '@sinclair/typebox';
import type { Resource } from '../../authorization/index.js';
import { BrokerDenied } from '../../errors.js';
import type { XComName } from '../client.js';
import { assertJson, Count, MapIndex, Name, Nullish, Offset } from './fields.js';
import { found, row, type Row, type RowOptions, type Rows } from './row.js';

/** As long as `Name`, and none is no one's. */
const OwnerName = Nullish(Type.String({ maxLength: 1500 }));
const Owner = { dag_id: OwnerName, run_id: OwnerName, task_id: OwnerName };
const Named = Type.Object({ key: Name, ...Owner });
type Named = Static<typeof Named>;
/** Airflow's field of 2026-10-30 is accepted and not sent to a server of an earlier version. */
const Pushed = Type.Object({ key: Name, value: Type.Unknown(), ...Owner, map_index: MapIndex, mapped_length: Nullish(Count), dag_result: Nullish(Type.Boolean()) });

const subject = ({ dag_id, run_id, task_id, key }: XComName, map_index = -1): Resource => ({ kind: 'xcom', dag_id, run_id, task_id, map_index, key });

const GetXCom = Type.Object({ key: Name, ...Owner, map_index: MapIndex, include_prior_dates: Nullish(Type.Boolean()) });
const GetXComSequenceItem = Type.Object({ key: Name, ...Owner, offset: Offset });
const GetXComSequenceSlice = Type.Object({ key: Name, ...Owner, start: Nullish(Offset), stop: Nullish(Offset), step: Nullish(Offset), include_prior_dates: Nullish(Type.Boolean()) });
const DeleteXCom = Type.Object({ key: Name, ...Owner, map_index: MapIndex });

export function xcoms({ api, reach, self }: RowOptions): Rows {
  const { identity } = self;
  const nameOf = ({ dag_id, run_id, task_id, key }: Named): XComName => ({ dag_id: dag_id ?? identity.dag_id, run_id: run_id ?? identity.run_id, task_id: task_id ?? identity.task_id, key });

  /** All map indexes of a task: its own alone where it is not mapped. */
  const sequence = (asked: Named, priorRuns = false): XComName | undefined => {
    const name = nameOf(asked);
    const isOwn = self.is(name) && identity.map_index === -1 && !priorRuns;
    return isOwn || reach.hasXCom(name, priorRuns) ? name : undefined;
  };

  const own = <P extends Omit<Named, 'key'>>(method: string, asked: P): P => {
    if (!self.is(asked)) throw new BrokerDenied(method, "names another task's XCom");
    return asked;
  };

  /** Airflow has renamed message and reply: each is answered as the version that sends it expects. */
  const counting = (reply: 'XComLengthResponse' | 'XComCountResponse'): Row => row({
    params: Named,
    grant: 'xcoms',
    permit: (asked) => sequence(asked),
    about: (name) => [['read', subject(name)]],
    handler: async (name, { signal }) => ({ type: reply, len: await api.countXComs(name, { signal }) }),
  });

  return {
    GetXCom: row({
      params: GetXCom,
      grant: 'xcoms',
      permit: ({ map_index, include_prior_dates, ...asked }) => {
        const name = nameOf(asked);
        const priorRuns = include_prior_dates === true;
        if (self.is({ ...name, map_index }) && !priorRuns) return { ...name, map_index: identity.map_index, include_prior_dates: priorRuns };
        return reach.hasXCom(name, priorRuns) ? { ...name, map_index: map_index ?? -1, include_prior_dates: priorRuns } : undefined;
      },
      about: ({ map_index, ...name }) => [['read', subject(name, map_index)]],
      handler: async (ref, { signal }) => {
        const { value } = await api.getXCom(ref, { signal });
        return { type: 'XComResult', key: ref.key, value };
      },
    }),

    GetNumberXComs: counting('XComLengthResponse'), // up to Airflow 3.2
    GetXComCount: counting('XComCountResponse'), // from 3.3 on

    GetXComSequenceItem: row({
      params: GetXComSequenceItem,
      grant: 'xcoms',
      permit: ({ offset, ...asked }) => {
        const name = sequence(asked);
        return name && { ...name, offset };
      },
      about: (name) => [['read', subject(name)]],
      handler: ({ offset, ...name }, { signal }) =>
        found('XCOM_NOT_FOUND', { ...name, offset }, async () => ({ type: 'XComSequenceIndexResult', root: await api.getXComItem(name, offset, { signal }) })),
    }),

    GetXComSequenceSlice: row({
      params: GetXComSequenceSlice,
      grant: 'xcoms',
      permit: ({ start = null, stop = null, step = null, include_prior_dates, ...asked }) => {
        const name = sequence(asked, include_prior_dates === true);
        return name && { name, slice: { start, stop, step, include_prior_dates: include_prior_dates === true } };
      },
      about: ({ name }) => [['read', subject(name)]],
      handler: async ({ name, slice }, { signal }) => ({ type: 'XComSequenceSliceResult', root: await api.getXComSlice(name, slice, { signal }) }),
    }),

    SetXCom: row({
      params: Pushed,
      permit: (asked) => {
        const { key, value, mapped_length } = own('SetXCom', asked);
        assertJson('SetXCom', 'value', value);
        return { key, value, mapped_length };
      },
      about: ({ key }) => [['write', subject({ ...identity, key }, identity.map_index)]],
      handler: ({ key, value, mapped_length }, { signal }) => api.setXCom({ ...identity, key }, value, { signal, ...(typeof mapped_length === 'number' && { mapped_length }) }),
    }),

    DeleteXCom: row({
      params: DeleteXCom,
      permit: (asked) => ({ key: own('DeleteXCom', asked).key }),
      about: ({ key }) => [['delete', subject({ ...identity, key }, identity.map_index)]],
      handler: ({ key }, { signal }) => api.deleteXCom({ ...identity, key }, { signal }),
    }),
  };
}
