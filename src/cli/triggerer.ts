import { resolve } from 'node:path';
import { ExecutionApi } from '../execution-api/client.js';
import type { GrantPreset } from '../execution-api/grants.js';
import { harden } from '../harden/harden.js';
import { Triggerer } from '../hosts/index.js';
import { keepFromTasks } from '../policy/grants.js';
import { loadPolicy } from '../policy/policy-file.js';
import { Masker } from '../secrets/masker.js';
import { AuditFile, type LogLine } from '../supervisor/index.js';
import { taskRecord } from '../supervisor/logs/record.js';
import { untilItAnswers, withAdvice } from './api-answers.js';
import { commandLine, usageError, type Values } from './command-line.js';
import { LineLog } from './line-log.js';
import { without } from './policy-options.js';
import { apiUrl, bundlesOf, count } from './queue-options.js';
import { secretFrom } from './serve-options.js';
import { TriggererView } from './triggerer-view.js';

const usage = `usage: sallyport triggerer --api URL --bundle NAME=FOLDER --credential SOURCE
                           [options]

Waits for what tasks of a sallyport server have deferred to, all triggers of a
bundle in one locked process, and tells the server what comes of them:
docs/triggerer.md. At SIGTERM or SIGINT it tells what its triggers have said,
and leaves them to others; at a second one it ends at once.

  --api URL              the Execution API, as http://127.0.0.1:8080/execution/
  --bundle NAME=FOLDER   where the code of a bundle is; may be given again
  --credential SOURCE    of this triggerer, as a sallyport server gave it: what
                         tasks of its queues and team have deferred to is waited
                         for here
  --capacity N           how many triggers at most; by default 1000
  --policy FILE          what their processes may have, as for \`sallyport run\`;
                         by default what Node needs, and their bundle to read
  --grants PRESET        declared (default), what a trigger's DAG declares at
                         the server; or airflow, whatever the server lets its
                         task read
  --log FILE             what triggers write, for \`sallyport logs FILE\`
  --audit FILE           a JSON line for each request of a trigger
  --json                 what happens as JSON lines on standard output
  --without GUARANTEE    start though this process itself cannot be hardened so

SOURCE is env:VARIABLE, file:PATH, credential:NAME of a systemd service,
exec:NAME of \`sallyport exec\`, or fd:N. SIGHUP opens the log again.

Exit code 0: it was told to stop. 1: it could not start.
`;

const options = {
  api: { type: 'string' },
  bundle: { type: 'string', multiple: true },
  credential: { type: 'string' },
  capacity: { type: 'string' },
  policy: { type: 'string' },
  grants: { type: 'string', default: 'declared' },
  log: { type: 'string' },
  audit: { type: 'string' },
  json: { type: 'boolean', default: false },
  without: { type: 'string', multiple: true },
} as const;

/** A second signal that comes sooner is the first one again: init programs send one to the process and to its group. */
const secondAfterMs = 1_000;

export async function run(args: string[]): Promise<number> {
  const given = commandLine(args, usage, options);
  if (given === undefined) return 0;
  const { values } = given;
  const { url, bundles, source, capacity, grants } = checked(values);
  // Before a secret is read.
  harden({ without: without(values.without) });
  using audit = values.audit === undefined ? undefined : new AuditFile(values.audit);
  const log = values.log === undefined ? undefined : openLog(values.log);
  using credential = secretFrom(source, '--credential');
  const policy = values.policy === undefined ? undefined : loadPolicy(values.policy, { preset: 'node' });

  await using api = new ExecutionApi({ baseUrl: url });
  using view = new TriggererView({ json: values.json });
  // Before it is sent the credential: a wrong server would have that.
  if (!(await untilItAnswers(api, url, 'no trigger is taken', view))) {
    view.summary();
    return 0;
  }
  await using triggerer = new Triggerer({
    api,
    credential,
    bundles,
    grants,
    ...(capacity !== undefined && { capacity }),
    ...(policy && { policy }),
    ...(audit && { audit: audit.record }),
    ...(log && { onLog: (line) => log.write(recordOf(line)) }),
    onEvent: (event) => view.show(event.kind === 'trouble' ? { ...event, error: withAdvice(event.error, 'triggerer') } : event),
  });

  let firstAt: number | undefined;
  const received = (): void => {
    const at = performance.now();
    if (firstAt !== undefined && at - firstAt < secondAfterMs) return;
    view.say(firstAt === undefined ? `stopping; what ${triggerer.waiting} triggers wait for is left to others` : 'stopping at once');
    firstAt ??= at;
    triggerer.stop();
  };
  const again = (): void => {
    try {
      log?.reopen();
    } catch (error) {
      view.say(`the log goes on where it was: ${(error as Error).message}`);
    }
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, received);
  process.on('SIGHUP', again);
  view.say(`up to ${capacity ?? 1000} triggers, from ${url}`);
  await triggerer.run();
  log?.close();
  view.summary();
  return 0;
}

function openLog(path: string): LineLog {
  keepFromTasks(resolve(path), 'the log of triggers');
  return new LineLog(path, new Masker());
}

/** As the log of a task, and whose triggers it was. */
const recordOf = (line: LogLine): object => ({ ...(JSON.parse(taskRecord(line)) as object), bundle: line.task });

/** What can be said of the command line before anything is started. */
function checked(values: Values<typeof options>) {
  const { bundle = [], credential, grants } = values;
  const url = apiUrl(values.api);
  if (credential === undefined) throw usageError('--credential says where the triggerer\'s credential is');
  if (grants !== 'declared' && grants !== 'airflow') throw usageError(`--grants is declared or airflow, not "${grants}"`);
  return { url, bundles: bundlesOf(bundle, 'triggers'), source: credential, capacity: count('--capacity', values.capacity, 1, 10_000), grants: grants as GrantPreset };
}
