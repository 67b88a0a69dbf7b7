import type { GuaranteeName } from '../guarantees.js';
import type { PropName } from './props.js';
import type { LootName, Scene } from './scene.js';

/** Undefined where this host has what an exploit needs; else what it lacks, in words. */
export type Need = () => string | undefined;

/** One exploit. What it does is in the file of the same name, in native/proof or src/proof/attacks. */
export interface Attack {
  readonly name: string;
  /** As a table shows it. */
  readonly title: string;
  /** What it does, in one line. */
  readonly how: string;
  /** The guarantee it tries to break. */
  readonly guarantee: GuaranteeName;
  /** `native`: of the program `attack`; `script`: of src/proof/attacks. */
  readonly kind: 'native' | 'script';
  /** What it does to an ordinary supervisor. Anything else there and nothing was shown. */
  readonly off: 'leaked' | 'disrupted';
  /** Whose process it is pointed at. @default 'supervisor' */
  readonly target?: 'supervisor' | 'neighbour';
  /** The attack of `kind` that is run. @default `name` */
  readonly runs?: string;
  /** What the program `attack` is given after the target's pid, and a script after the scene. */
  readonly args?: (scene: Scene) => readonly string[];
  /**
   * Where it runs. `outside`: not as a task but next to the supervisor, with all that whoever runs the proof may do, for
   * what must hold even then. `birth`: as another process of the supervisor's user, no task, that is there before it and
   * is given a word of its command line; what it does is in birth.ts. @default 'task'
   */
  readonly from?: 'task' | 'outside' | 'birth';
  /** What of the loot counts. @default all of it */
  readonly loot?: LootName;
  /** What else starts while it runs, once the task has printed `marker.watching` or has ended. @default nothing */
  readonly starts?: 'another supervisor' | 'another task';
  /** What is put up around it: what it is after, and who looks on. @default [] */
  readonly props?: readonly PropName[];
  /** The supervisor is killed once the attack has printed `marker.armed`, and what then lives on is looked for. @default false */
  readonly supervisorDies?: boolean;
  /** What it does after its task has ended, and how long that takes. */
  readonly lingersMs?: number;
  /** What must be so on this host for it to work against an ordinary supervisor. */
  readonly needs?: readonly Need[];
  /** Nothing else runs beside it: it is measured, or takes what all processes share. @default false */
  readonly alone?: boolean;
  /** Whether `sallyport demo` shows it: one or two for each guarantee. @default false */
  readonly demo?: boolean;
}

/** An exploit in the file of its guarantee. */
export type Row = Omit<Attack, 'guarantee'>;
