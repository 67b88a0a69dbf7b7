import { Type } from '@sinclair/typebox';
import { RescheduleStart } from '../../execution-api/schema.js';
import type { AccessOptions } from '../access.js';
import { sendJson, type App } from '../app.js';
import { getRescheduleStart } from '../store/task-instances.js';
import { shown } from '../store/time.js';
import { ofTaskInstance as params } from './params.js';

/** Airflow's client says which try; here each has an id of its own. */
const querystring = Type.Object({ try_number: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })) });
const config = { access: 'self', resource: { kind: 'task_instance', action: 'read' } } as const;

/** Airflow lets any task ask; who asks is the supervisor of that very one. */
export function taskReschedules(app: App, { database }: AccessOptions): void {
  app.get('/task-reschedules/:id/start_date', { config, schema: { params, querystring, response: { 200: RescheduleStart } } }, async (request, reply) =>
    sendJson(reply, shown(await database.run(getRescheduleStart(request.params.id.toLowerCase())))),
  );
}
