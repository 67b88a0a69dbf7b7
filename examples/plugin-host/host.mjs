// node examples/plugin-host/host.mjs
import { fileURLToPath } from 'node:url';
import { harden, launch, method, policies, Type } from 'sallyport';

harden();

const folder = fileURLToPath(new URL('plugins', import.meta.url));

/** A plug-in that runs for as long as its host. It asks for its next call and answers it: a task speaks first, always. */
class Plugin {
  #calls = []; //           not yet taken by the plug-in
  #taker; //                its request for the next one, when there is none
  #waiting = new Map(); //  answers that the host waits for
  #lastId = 0;

  static async start(file, { granted = {} } = {}) {
    const plugin = new Plugin();
    const path = `${folder}/${file}`;
    plugin.name = file.replace(/\.mjs$/, '');
    plugin.task = await launch([process.execPath, path], {
      policy: policies.node({ read: [path, `${folder}/plugin.mjs`], limits: { memoryBytes: 512e6 } }),
      methods: {
        'plugin.next': method({ params: Type.Object({}), handler: () => plugin.#next() }),
        'plugin.answer': method({ params: Type.Object({ id: Type.Integer(), value: Type.Unknown() }), handler: ({ id, value }) => plugin.#answer(id, value) }),
        ...granted,
      },
      stdout: 'ignore',
      stderr: 'ignore',
    });
    plugin.task.once('exit', (code, signal) => {
      for (const { reject } of plugin.#waiting.values()) reject(new Error(`the plug-in ended: ${signal ?? code}`));
    });
    return plugin;
  }

  call(name, value, { timeoutMs = 3_000 } = {}) {
    if (this.task.exitCode !== null || this.task.signalCode !== null) return Promise.reject(new Error('the plug-in ended before'));
    const id = ++this.#lastId;
    const answered = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    const timer = setTimeout(() => this.task.end(new Error(`no answer to ${name}`)), timeoutMs);
    this.#calls.push({ id, name, value });
    this.#taker?.(this.#calls.shift());
    return answered.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(id);
    });
  }

  #next() {
    if (this.#calls.length > 0) return this.#calls.shift();
    return new Promise((resolve) => (this.#taker = (call) => ((this.#taker = undefined), resolve(call))));
  }

  /** Who answers is known by the descriptor: an id of another plug-in's call is no id here. */
  #answer(id, value) {
    this.#waiting.get(id)?.resolve(value);
    return null;
  }

  async stop() {
    await this.task[Symbol.asyncDispose]();
  }
}

const settings = { greeting: 'hello' };
const granted = { 'settings.get': method({ params: Type.Object({ key: Type.Literal('greeting') }), handler: ({ key }) => settings[key] }) };

const plugins = await Promise.all([Plugin.start('shout.mjs', { granted }), Plugin.start('spy.mjs'), Plugin.start('crash.mjs')]);
for (const word of ['one', 'two']) {
  for (const plugin of plugins) {
    const answer = await plugin.call('transform', word).catch(({ message }) => `(${message})`);
    console.log(`${plugin.name}(${word}) = ${typeof answer === 'string' ? answer : JSON.stringify(answer)}`);
  }
}
await Promise.all(plugins.map((plugin) => plugin.stop()));
