import { type TSchema, Type } from '@sinclair/typebox';
import { covers } from '../../authorization/pattern.js';
import { method, type Method } from '../../broker/index.js';
import { serialize, type SerializedDag } from '../../definition/dag.js';
import { BrokerDenied, DagInvalid } from '../../errors.js';

/** A DAG and where it was found. */
export interface ParsedDag extends SerializedDag {
  readonly fileloc: string;
  /** Below the bundle: a workload's `bundle_info.name` and, with the task's file, `dag_rel_path`. */
  readonly relative_fileloc: string;
  readonly bundle_name: string;
}

/** What a file defines. Airflow's names. */
export interface DagFileParsingResult {
  readonly type: 'DagFileParsingResult';
  /** The file, links resolved. */
  readonly fileloc: string;
  readonly serialized_dags: readonly ParsedDag[];
  readonly warnings: readonly ParseWarning[];
  /** By file, and so with one entry or none: why nothing, or not all of it, could be used. The file's own words: show them as text. */
  readonly import_errors: Readonly<Record<string, string>>;
}

export interface ParseWarning {
  /** `NoDags`, `MissingFile`, `DeprecationWarning` ... */
  readonly category: string;
  readonly message: string;
}

const mostDags = 1000;
/** Of all definitions of a file together, as JSON: what a file can have its host keep. */
const mostBytes = 32 << 20;
const tooMany = `the file defines more than ${mostDags} DAGs, or ${mostBytes >> 20} MiB of them`;
const Text = (maxLength: number) => Type.String({ maxLength });
const Nullish = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));

const Message = Type.Object({
  fileloc: Text(8192),
  serialized_dags: Type.Array(Type.Unknown(), { maxItems: mostDags }),
  warnings: Nullish(Type.Array(Type.Object({ category: Text(100), message: Text(8000) }), { maxItems: 100 })),
  import_errors: Nullish(Type.Record(Text(8192), Text(8000))),
  more: Type.Optional(Type.Boolean()),
});

/** Where the file is, and what it may define. */
export interface ParsedFile {
  readonly fileloc: string;
  readonly relative_fileloc: string;
  readonly bundle_name: string;
  /** Patterns of the ids its DAGs may have. */
  readonly dag_ids: readonly string[];
}

/** Puts together what a child says of a file: what it says of others, or of itself, counts for nothing. */
export class ParseResult {
  readonly #file: ParsedFile;
  readonly #dags = new Map<string, ParsedDag>();
  readonly #warnings: ParseWarning[] = [];
  readonly #errors: string[] = [];
  #bytes = 0;
  #tried = 0;
  #finish: () => void = () => {};
  /** Resolves when the child has said all. */
  readonly said = new Promise<void>((resolve) => { this.#finish = resolve; });
  #complete = false;

  constructor(file: ParsedFile) {
    this.#file = file;
  }

  /** The child has said all. */
  get complete(): boolean {
    return this.#complete;
  }

  /** The row by which a child answers. */
  get row(): Method {
    const { fileloc } = this.#file;
    return method({
      params: Message,
      permit: (params) => {
        const others = Object.keys(params.import_errors ?? {}).some((file) => file !== fileloc);
        if (params.fileloc !== fileloc || others) throw new BrokerDenied('DagFileParsingResult', 'speaks of another file');
        if (this.#complete) throw new BrokerDenied('DagFileParsingResult', 'comes after the last one');
        return params;
      },
      handler: ({ serialized_dags, warnings, import_errors, more }) => {
        serialized_dags.forEach((declaration) => this.#add(declaration));
        for (const { category, message } of warnings ?? []) this.warn(category, message);
        for (const text of Object.values(import_errors ?? {})) this.fail(text);
        if (more === true) return null;
        this.#complete = true;
        this.#finish();
        return null;
      },
    });
  }

  warn(category: string, message: string): void {
    if (this.#warnings.length < 2 * mostDags) this.#warnings.push({ category, message });
  }

  fail(text: string): void {
    if (this.#errors.length < 100) this.#errors.push(text);
  }

  get dags(): Iterable<ParsedDag> {
    return this.#dags.values();
  }

  /** @param shown What becomes of words that the file chose, before they are kept. */
  result(shown: (text: string) => string): DagFileParsingResult {
    const { fileloc } = this.#file;
    return Object.freeze({
      type: 'DagFileParsingResult',
      fileloc,
      serialized_dags: Object.freeze([...this.#dags.values()]),
      warnings: Object.freeze(this.#warnings.map(({ category, message }) => Object.freeze({ category: shown(category), message: shown(message) }))),
      import_errors: Object.freeze(this.#errors.length === 0 ? {} : { [fileloc]: shown(this.#errors.join('\n\n')) }),
    });
  }

  #add(declaration: unknown): void {
    const { dag_ids, ...where } = this.#file;
    // Looking through a definition takes the host's time, for one that is not kept too.
    if (++this.#tried > mostDags || this.#bytes > mostBytes) return this.fail(tooMany);
    let dag: SerializedDag;
    try {
      dag = serialize(declaration);
    } catch (error) {
      if (!(error instanceof DagInvalid)) throw error;
      return this.fail(`${error.message} (${error.code})`);
    }
    if (!dag_ids.some((pattern) => covers(pattern, dag.dag_id))) return this.fail(`the DAG "${dag.dag_id}" is none that files of bundle "${where.bundle_name}" may define`);
    if (this.#dags.has(dag.dag_id)) return this.fail(`the DAG "${dag.dag_id}" is defined twice`);
    this.#bytes += JSON.stringify(dag).length;
    if (this.#bytes > mostBytes) return this.fail(tooMany);
    this.#dags.set(dag.dag_id, Object.freeze({ ...dag, ...where }));
  }
}
