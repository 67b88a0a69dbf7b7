import { release } from 'node:os';
import { ApiProcess } from '../proof/api-process.js';
import { catalogue } from '../proof/catalogue.js';
import { runGreeting } from '../proof/greeting.js';
import { whyNot } from '../proof/needs.js';
import { exitCodeOf, held, reportRow } from '../proof/report.js';
import { runAttack, type AttackResult, type Attempt, type Verdict } from '../proof/runner.js';
import { commandLine } from './command-line.js';
import { fit, paintFor, row, type Paint, type Style } from './table.js';

const usage = `usage: sallyport demo [--json]

Starts the embedded server, runs a well-behaved task through the supervisor,
then the same hostile task against an ordinary supervisor and against a hardened
one.

  --json   print only {"attacks":[{"name","unprotected","protected","detail"}]}

Exit code 0: every attack was blocked by the hardened supervisor. 1: something
got through. 130, 143: interrupted.
`;

const styles: Record<Verdict, Style> = { leaked: 'red', disrupted: 'yellow', blocked: 'green', error: 'red' };

/** A few of the catalogue; `sallyport verify` runs all of it. */
const shown = catalogue.filter(({ demo }) => demo === true);
const widths = [Math.max(...shown.map(({ title }) => title.length)), 9, 9];

export async function run(args: string[], signal: AbortSignal): Promise<number> {
  const given = commandLine(args, usage, { json: { type: 'boolean', default: false } });
  if (given === undefined) return 0;
  const { values } = given;
  const api = await ApiProcess.start().catch((error: Error) => error.message);
  if (typeof api === 'string') {
    if (!signal.aborted) process.stderr.write(`sallyport demo: ${api}\n`);
    return 1;
  }
  try {
    return values.json ? await asJson(api, signal) : await asTable(api, signal, paintFor(process.stdout));
  } catch (error) {
    if (!signal.aborted) throw error;
    return 1;
  } finally {
    await api.end();
  }
}

/** @throws `signal.reason`, instead of a result that was cut short. */
async function* results(api: ApiProcess, signal: AbortSignal): AsyncGenerator<AttackResult> {
  for (const attack of shown.filter((attack) => whyNot(attack) === undefined)) yield await runAttack(attack, api, { signal });
}

async function asJson(api: ApiProcess, signal: AbortSignal): Promise<number> {
  const seen: AttackResult[] = [];
  for await (const result of results(api, signal)) seen.push(result);
  process.stdout.write(`${JSON.stringify({ attacks: seen.map(reportRow) }, null, 2)}\n`);
  return exitCodeOf(seen);
}

async function asTable(api: ApiProcess, signal: AbortSignal, paint: Paint): Promise<number> {
  const who = process.getuid?.() === 0 ? 'root' : `uid ${process.getuid?.()}`;
  console.log(`${paint('bold', 'Sallyport')}  Linux ${release()}, Node ${process.versions.node}, as ${who}\n`);

  console.log(paint('bold', 'A well-behaved task, through the supervisor'));
  const greeting = await runGreeting(api, signal);
  const fact = (what: string, value: string): void => console.log(row([paint('dim', what), value], [8]));
  fact('server', `${api.baseUrl} (process ${api.pid})`);
  fact('task', 'greet: reads a variable and a connection, pushes an XCom, returns a value');
  fact('result', JSON.stringify(greeting.result));
  fact('state', paint(greeting.succeeded ? 'green' : 'red', greeting.state));

  console.log(`\n${paint('bold', 'The same hostile task, against two supervisors that hold a token')}`);
  console.log(paint('dim', row(['attack', 'ordinary', 'Sallyport', fit('what the task does', widths, process.stdout.columns)], widths)));
  const seen: AttackResult[] = [];
  for await (const result of results(api, signal)) {
    seen.push(result);
    printRow(result, paint);
  }
  for (const attack of shown.filter((attack) => whyNot(attack) !== undefined)) {
    console.log(row([attack.title, paint('dim', `${whyNot(attack)}: not tried`)], widths));
  }
  console.log(`\n${summary(seen, paint)}\n\n${conclusion(seen, paint)}`);
  return !greeting.succeeded ? 1 : exitCodeOf(seen);
}

function printRow(result: AttackResult, paint: Paint): void {
  const word = ({ verdict }: Attempt): string => paint(styles[verdict], verdict);
  console.log(row([result.attack.title, word(result.unprotected), word(result.protected), paint('dim', fit(result.attack.how, widths, process.stdout.columns))], widths));
  if (result.unprotected.verdict === 'blocked') note(`this host refuses it here too: ${result.unprotected.evidence}`);
  if (result.unprotected.verdict === 'error') note(result.unprotected.evidence);
  if (!held(result)) note(paint('red', `${result.protected.verdict === 'error' ? 'Sallyport' : 'through'}: ${result.protected.evidence}`));

  function note(text: string): void {
    console.log(row(['', text], [2]));
  }
}

function summary(seen: readonly AttackResult[], paint: Paint): string {
  const count = (column: 'unprotected' | 'protected', verdict: Verdict): number => seen.filter((result) => result[column].verdict === verdict).length;
  const line = (name: string, column: 'unprotected' | 'protected'): string => {
    const words = (['leaked', 'disrupted', 'blocked', 'error'] as const).filter((verdict) => count(column, verdict) > 0);
    return row([name, words.map((verdict) => paint(styles[verdict], `${count(column, verdict)} ${verdict}`)).join(', ')], [10]);
  };
  return `${line('ordinary', 'unprotected')}\n${line('Sallyport', 'protected')}`;
}

function conclusion(seen: readonly AttackResult[], paint: Paint): string {
  const missed = seen.filter((result) => !held(result));
  if (missed.length === 0) return paint('green', 'Nothing got through.');
  const failed = missed.filter(({ protected: { verdict } }) => verdict === 'error').length;
  const through = missed.length - failed;
  const told = [...(through > 0 ? [`${through} of ${seen.length} were not blocked`] : []), ...(failed > 0 ? [`${failed} of ${seen.length} did not run to their end, and show nothing`] : [])];
  return paint('red', `${told.join('; ')}.`);
}
