import { availableParallelism } from 'node:os';
import { ExecutionApi } from '../execution-api/client.js';
import { harden } from '../harden/harden.js';
import { loadPolicy } from '../policy/policy-file.js';
import { AuditFile, shutDownOnSignals, Supervisor, type GrantPreset, type SupervisorOptions } from '../supervisor/index.js';
import { statusProblem } from '../supervisor/status.js';
import { FolderQueue, ServerQueue, Worker } from '../worker/index.js';
import { untilItAnswers, withAdvice } from './api-answers.js';
import { commandLine, usageError, type Values } from './command-line.js';
import { without } from './policy-options.js';
import { apiUrl, bundlesOf, count } from './queue-options.js';
import { secretFrom } from './serve-options.js';
import { WorkerView } from './worker-view.js';

const usage = `usage: sallyport worker --api URL --bundle NAME=FOLDER --folder FOLDER [options]
       sallyport worker --api URL --bundle NAME=FOLDER --credential SOURCE
                        [options]

Takes workloads, from files in a folder or from the server itself, and runs so
many of them at once, each locked in: docs/worker.md. At SIGTERM or SIGINT it
takes no more and lets those that run end; at a second one it ends them.

  --api URL              the Execution API, as http://127.0.0.1:8080/execution/
  --bundle NAME=FOLDER   where the code of a bundle is; may be given again
  --folder FOLDER        where files of workloads are put, and results: for this
                         user alone
  --credential SOURCE    of this worker, as a sallyport server gave it: what
                         waits for its queues and team is taken there
  --concurrency N        how many run at once; by default as many as there are
                         processors
  --warm N               processes that have started before their task, for each
                         bundle
  --policy FILE          what each task may have, as for \`sallyport run\`; by
                         default what Node needs, and its bundle to read
  --grants PRESET        declared (default), what a workload says that it needs;
                         or airflow, whatever a task asks for that is not
                         another task's
  --wall-time SECONDS    how long a task may run
  --logs FOLDER          a file for each try: \`sallyport logs\`
  --audit FILE           a JSON line for each request of a task
  --reports FOLDER       final states that the server could not be told, until
                         it was
  --reports-key SOURCE   for those that an earlier worker has left there; at
                         least 32 bytes
  --once                 end when nothing waits any more
  --json                 what happens as JSON lines on standard output
  --without GUARANTEE    start though this process itself cannot be hardened so

SOURCE is env:VARIABLE, file:PATH, credential:NAME of a systemd service,
exec:NAME of \`sallyport exec\`, or fd:N.

Exit code 0: it was told to stop, or nothing is left. 1: it could not start.
`;

const options = {
  api: { type: 'string' },
  bundle: { type: 'string', multiple: true },
  folder: { type: 'string' },
  credential: { type: 'string' },
  concurrency: { type: 'string' },
  warm: { type: 'string' },
  policy: { type: 'string' },
  grants: { type: 'string', default: 'declared' },
  'wall-time': { type: 'string' },
  logs: { type: 'string' },
  audit: { type: 'string' },
  reports: { type: 'string' },
  'reports-key': { type: 'string' },
  once: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  without: { type: 'string', multiple: true },
} as const;

export async function run(args: string[]): Promise<number> {
  const given = commandLine(args, usage, options);
  if (given === undefined) return 0;
  const { values } = given;
  const { url, bundles, concurrency, warm, grants, wallTimeMs } = checked(values);
  // Before a secret is read.
  harden({ without: without(values.without) });
  using audit = values.audit === undefined ? undefined : new AuditFile(values.audit);
  using credential = values.credential === undefined ? undefined : secretFrom(values.credential, '--credential');
  using key = values['reports-key'] === undefined ? undefined : secretFrom(values['reports-key'], '--reports-key');

  const hidden = statusProblem();
  if (hidden !== undefined) process.stderr.write(`sallyport worker: \`sallyport top\` will not show it: ${hidden}\n`);

  await using api = new ExecutionApi({ baseUrl: url });
  await using queue = credential === undefined ? await folderQueue(values.folder ?? '') : new ServerQueue({ api, credential });
  const policy = values.policy === undefined ? undefined : loadPolicy(values.policy, { preset: 'node' });
  using view = new WorkerView({ json: values.json });
  // Before there is anybody who sends it tokens: a wrong server would have them.
  if (!(await untilItAnswers(api, url, 'no workload is taken', view))) {
    view.summary();
    return 0;
  }
  await using supervisor = supervisorWith({
    api,
    bundles,
    ...(warm > 0 && { warm: { size: warm } }),
    ...(hidden === undefined && { status: {} }),
    ...(values.logs !== undefined && { logs: { folder: values.logs } }),
    ...(audit && { audit: audit.record }),
    ...(values.reports !== undefined && { reports: { folder: values.reports, onReport: (result) => view.report(result), ...(key && { key }) } }),
  });
  if (warm > 0) await Promise.all(Object.keys(bundles).map((bundle) => supervisor.warmUp(bundle, policy)));

  const worker = new Worker({
    supervisor,
    queue,
    concurrency,
    once: values.once,
    run: { grants, ...(policy && { policy }), ...(wallTimeMs !== undefined && { wallTimeMs }) },
    onEvent: (event) => view.show(event.kind === 'failed' ? { ...event, error: withAdvice(event.error, 'worker') } : event),
  });
  using _shutdown = shutDownOnSignals(supervisor, {
    onSignal(_signal, what) {
      worker.drain();
      view.say(what === 'stop' ? 'ending what runs' : worker.running === 0 ? 'stopping' : `${worker.running} still to end; again to end them now`);
    },
  });
  view.say(`up to ${concurrency} at once, from ${credential === undefined ? values.folder : url}`);
  await worker.run();
  await supervisor.drain(); // and its reports
  const { reportsWaiting } = supervisor;
  if (reportsWaiting > 0) view.say(`${reportsWaiting} final state${reportsWaiting === 1 ? '' : 's'} could not be told, and ${reportsWaiting === 1 ? 'is' : 'are'} kept in ${values.reports}: ${key === undefined ? 'without --reports-key nobody can tell them' : 'the next worker with this --reports and --reports-key tells them'}`);
  view.summary();
  return 0;
}

async function folderQueue(path: string): Promise<FolderQueue> {
  try {
    return await FolderQueue.open(path);
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' || syscall !== 'realpath') throw error;
    throw Object.assign(error as Error, { message: `--folder ${path}: there is no such folder. To make it, for this user alone: install -d -m 700 ${path}` });
  }
}

/** What is wrong with a folder or a key that was named is a mistake of the command line, and no stack. */
function supervisorWith(options: SupervisorOptions): Supervisor {
  try {
    return new Supervisor(options);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const option = { '"options.reports.folder"': '--reports', '"options.reports.key"': '--reports-key', '"options.logs.folder"': '--logs' }[/^"[^"]*"/.exec(message)?.[0] ?? ''];
    if (code !== 'ERR_OUT_OF_RANGE' || option === undefined) throw error;
    throw usageError(message.replace(/^"[^"]*"/, option));
  }
}

/** What can be said of the command line before anything is started. */
function checked(values: Values<typeof options>) {
  const { bundle = [], folder, credential, grants } = values;
  const url = apiUrl(values.api);
  if ((folder === undefined) === (credential === undefined)) throw usageError('--folder or --credential says where workloads come from, one of them');
  if (values['reports-key'] !== undefined && values.reports === undefined) throw usageError('--reports-key goes with --reports');
  if (grants !== 'declared' && grants !== 'airflow') throw usageError(`--grants is declared or airflow, not "${grants}"`);
  const seconds = count('--wall-time', values['wall-time'], 1, 2_147_483);
  return {
    url,
    bundles: bundlesOf(bundle, 'tasks'),
    concurrency: count('--concurrency', values.concurrency, 1, 10_000) ?? availableParallelism(),
    warm: count('--warm', values.warm, 0, 1000) ?? 0,
    grants: grants as GrantPreset,
    wallTimeMs: seconds === undefined ? undefined : seconds * 1000,
  };
}
