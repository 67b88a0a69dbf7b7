import { KeyAgent, type KeyAgentOptions } from '../tokens/index.js';

/** Requests that have begun may still ask the agent before, for as long as a client has for one. */
const oldLivesMs = 60_000;

/** The key agent that is in use: another one takes its place when the keys are read again. */
export class ServeKeys implements AsyncDisposable {
  static async start(options: KeyAgentOptions): Promise<ServeKeys> {
    return new ServeKeys(options, await KeyAgent.start(options));
  }

  /** Settles when the one in use has ended by itself. */
  readonly ended: Promise<void>;
  readonly #options: KeyAgentOptions;
  readonly #end: () => void;
  readonly #old = new Set<KeyAgent>();
  #agent: KeyAgent;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(options: KeyAgentOptions, agent: KeyAgent) {
    this.#options = options;
    let end = (): void => {};
    this.ended = new Promise((resolve) => (end = resolve));
    this.#end = end;
    this.#agent = agent;
    this.#watch(agent);
  }

  get agent(): KeyAgent {
    return this.#agent;
  }

  /** Whether its keys are in files, which another agent can read: what came by a descriptor or the environment is gone from there. */
  get areFiles(): boolean {
    const { key, otherKeys = [] } = this.#options;
    return [key, ...otherKeys].every((each) => 'file' in each || 'credential' in each);
  }

  /**
   * One after the other.
   *
   * @param use Takes the new agent into use. What it throws leaves the old one in use.
   * @returns The names of the keys, the one that signs first.
   * @throws {KeyAgentFailed} `ERR_KEY_AGENT`: keys that are none; the old ones stay in use.
   */
  renew(use: (agent: KeyAgent) => void): Promise<string> {
    const renewed = this.#turn.then(async () => {
      const agent = await KeyAgent.start(this.#options);
      try {
        use(agent);
      } catch (error) {
        await agent.close();
        throw error;
      }
      this.#retire(this.#agent);
      this.#agent = agent;
      this.#watch(agent);
      return agent.keys.map(({ kid }) => kid).join(', ');
    });
    this.#turn = renewed.catch(() => {});
    return renewed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn;
    await Promise.all([this.#agent, ...this.#old].map((agent) => agent.close()));
  }

  #watch(agent: KeyAgent): void {
    void agent.ended.then(() => agent === this.#agent && this.#end());
  }

  #retire(agent: KeyAgent): void {
    this.#old.add(agent);
    setTimeout(() => void agent.close().finally(() => this.#old.delete(agent)), oldLivesMs).unref();
  }
}
