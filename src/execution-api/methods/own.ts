import { Type } from '@sinclair/typebox';
import { BrokerDenied } from '../../errors.js';
import { HitlRequest, RenderedMapIndex, SkipDownstream } from '../schema.js';
import { JsonObject } from '../schema/common.js';
import { assertJson, Nullish } from './fields.js';
import { nobodyElses, row, type Question, type RowOptions, type Rows } from './row.js';

const OfItself = Type.Object({ ti_id: Nullish(Type.String()) });

const GetTaskRescheduleStartDate = Type.Object({ ti_id: Nullish(Type.String()), try_number: Nullish(Type.Integer({ minimum: 0 })) });
const SetRenderedFields = Type.Object({ rendered_fields: JsonObject });
const SetRenderedMapIndex = Type.Object({ rendered_map_index: RenderedMapIndex });
const SkipDownstreamTasks = Type.Object({ tasks: SkipDownstream.properties.tasks });
const CreateHITLDetailPayload = Type.Object({ ...HitlRequest.properties, ti_id: Nullish(Type.String()) });
const MaskSecret = Type.Object({ value: Type.Unknown(), name: Nullish(Type.String({ maxLength: 1024 })) });

/** What a task instance asks and says of itself. The id goes in here, whatever a message has. */
export function own({ api, reach, self, masking, masker }: RowOptions): Rows {
  const { id, try_number } = self.identity;
  const itself = (method: string) => ({ ti_id }: { readonly ti_id?: string | null }) => ({ ti_id: self.id(method, ti_id) });
  const reads = (): readonly Question[] => [['read', self.resource]];
  const writes = (): readonly Question[] => [['write', self.resource]];

  return {
    GetPrevSuccessfulDagRun: row({
      params: OfItself,
      permit: itself('GetPrevSuccessfulDagRun'),
      about: reads,
      handler: async ({ ti_id }, { signal }) => ({ type: 'PrevSuccessfulDagRunResult', ...(await api.getPreviousSuccessfulRun(ti_id, { signal })) }),
    }),

    ValidateInletsAndOutlets: row({
      params: OfItself,
      permit: itself('ValidateInletsAndOutlets'),
      about: reads,
      handler: async ({ ti_id }, { signal }) => ({ type: 'InactiveAssetsResult', ...(await api.getInactiveAssets(ti_id, { signal })) }),
    }),

    // Airflow's sensors ask for their first try.
    GetTaskRescheduleStartDate: row({
      params: GetTaskRescheduleStartDate,
      permit: (asked) => {
        const { ti_id } = itself('GetTaskRescheduleStartDate')(asked);
        const wanted = asked.try_number ?? try_number;
        if (wanted > try_number) throw new BrokerDenied('GetTaskRescheduleStartDate', 'names a try that is still to come');
        return { ti_id, wanted };
      },
      about: reads,
      handler: async ({ ti_id, wanted }, { signal }) => ({ type: 'TaskRescheduleStartDate', start_date: await api.getRescheduleStart(ti_id, wanted, { signal }) }),
    }),

    SetRenderedFields: row({
      params: SetRenderedFields,
      permit: ({ rendered_fields }) => {
        assertJson('SetRenderedFields', 'rendered_fields', rendered_fields);
        return { rendered_fields };
      },
      about: writes,
      // People look at them: what is hidden in the log is hidden here.
      handler: ({ rendered_fields }, { signal }) => api.setRenderedFields(id, masking.redactJson(rendered_fields), { signal }),
    }),

    SetRenderedMapIndex: row({
      params: SetRenderedMapIndex,
      permit: (asked) => asked,
      about: writes,
      handler: ({ rendered_map_index }, { signal }) => api.setRenderedMapIndex(id, masking.redact(rendered_map_index), { signal }),
    }),

    SkipDownstreamTasks: row({
      params: SkipDownstreamTasks,
      grant: 'skips',
      permit: ({ tasks }) => (reach.hasAllOf('skips', tasks.map((task) => (typeof task === 'string' ? task : task[0]))) ? { tasks } : undefined),
      about: writes,
      handler: ({ tasks }, { signal }) => api.skipDownstream(id, tasks, { signal }),
    }),

    // A task asks people, and does not answer in their place: CVE-2026-30911.
    CreateHITLDetailPayload: row({
      params: CreateHITLDetailPayload,
      permit: (asked) => {
        assertJson('CreateHITLDetailPayload', 'params', asked.params);
        return { ...asked, ti_id: self.id('CreateHITLDetailPayload', asked.ti_id) };
      },
      about: writes,
      handler: async (question, { signal }) => ({ type: 'HITLDetailRequestResult', ...(await api.askHuman(question, { signal })) }),
    }),

    GetHITLDetailResponse: row({
      params: OfItself,
      permit: itself('GetHITLDetailResponse'),
      about: reads,
      handler: async ({ ti_id }, { signal }) => ({ type: 'HITLDetailResponseResult', ...(await api.getHumanAnswer(ti_id, { signal })) }),
    }),

    MaskSecret: row({
      params: MaskSecret,
      permit: (asked) => {
        assertJson('MaskSecret', 'value', asked.value);
        masking.asked('MaskSecret', asked.value);
        return asked;
      },
      about: nobodyElses,
      handler: ({ value, name }) => {
        masker?.add(value, name ?? undefined);
        return null;
      },
    }),
  };
}
