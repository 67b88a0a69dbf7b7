import type { Policy } from '../policy/policy.js';
import { services } from './props/services.js';
import { careless } from './props/careless.js';
import { bloat, crowd, descriptors, disk, memory, pendingSignals } from './props/hoards.js';
import { identities, mounts, objects, personalities, programs } from './props/onlookers.js';
import { foreignFile, setUidProgram, vault, workshop } from './props/vault.js';

/** What is seen of an attack from outside. */
export interface Sighting {
  readonly verdict: 'leaked' | 'disrupted';
  readonly evidence: string;
}

/** Something that is put up around one attack: to be stolen, changed or gone beyond, and looked at from outside. */
export interface Prop {
  /** What the hostile task is told of it; an attacker would find it by itself. */
  readonly told?: Readonly<Record<string, string>>;
  /** Stolen when it is printed, by what it is called. */
  readonly loot?: Readonly<Record<string, string>>;
  /** What a task of ours gets of it, where the refusal of something else would hide the guarantee that is meant. */
  readonly grants?: Grants;
  /** What starts the supervisor: the words before its own. */
  readonly starter?: readonly string[];
  /** The supervisor is up: looks from now on. */
  readonly watch?: (supervisorPid: number) => void;
  /** What has been seen so far. */
  readonly seen?: () => Sighting | undefined;
  /** Takes everything away. */
  readonly end: () => void | Promise<void>;
}

export type Grants = Pick<Policy, 'read' | 'execute' | 'write' | 'limits'>;

/** Each makes one anew for every attempt. */
const props = {
  vault,
  workshop,
  foreignFile,
  setUidProgram,
  services,
  identities,
  mounts,
  programs,
  objects,
  personalities,
  bloat,
  disk,
  crowd,
  memory,
  descriptors,
  pendingSignals,
  sessionKey: careless('session-key'),
  userKey: careless('user-key'),
  terminal: careless('terminal'),
  sharedMemory: careless('shared-memory'),
  messageQueue: careless('message-queue'),
} satisfies Record<string, () => Prop | Promise<Prop>>;

export type PropName = keyof typeof props;

/** Everything that is put up around one attempt, as one. */
export class Props implements AsyncDisposable {
  readonly #all: Prop[] = [];

  private constructor() {}

  static async putUp(names: readonly PropName[]): Promise<Props> {
    const put = new Props();
    try {
      for (const name of names) put.#all.push(await props[name]());
      return put;
    } catch (error) {
      await put[Symbol.asyncDispose]();
      throw error;
    }
  }

  get told(): Readonly<Record<string, string>> {
    return Object.assign({}, ...this.#all.map(({ told }) => told)) as Record<string, string>;
  }

  get loot(): Readonly<Record<string, string>> {
    return Object.assign({}, ...this.#all.map(({ loot }) => loot)) as Record<string, string>;
  }

  get starter(): readonly string[] {
    return this.#all.flatMap(({ starter = [] }) => starter);
  }

  get grants(): Required<Grants> {
    const all = this.#all.map(({ grants = {} }) => grants);
    const paths = (of: 'read' | 'execute' | 'write'): string[] => all.flatMap((grants) => grants[of] ?? []);
    return { read: paths('read'), execute: paths('execute'), write: paths('write'), limits: Object.assign({}, ...all.map(({ limits }) => limits)) as object };
  }

  watch(supervisorPid: number): void {
    for (const prop of this.#all) prop.watch?.(supervisorPid);
  }

  seen(): Sighting | undefined {
    return this.#all.map((prop) => prop.seen?.()).find((sighting) => sighting !== undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const prop of this.#all) await prop.end();
  }
}
