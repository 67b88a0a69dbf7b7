import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request as forward, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * What becomes of one request. `lost`: it takes effect and its answer does not come back. `hanging`: nothing comes, and nothing was done.
 * `page`: what stands before a server answers in its place.
 */
export type Fault = 'none' | 'unavailable' | 'dropped' | 'lost' | 'hanging' | 'page';

export interface Asked {
  readonly method: string;
  /** Below the API: `task-instances/ID/state`. */
  readonly path: string;
}

/** Stands before a real server, and fails as it is told. */
export class FailingProxy implements AsyncDisposable {
  /** Asked for each request. */
  fault: (asked: Asked) => Fault = () => 'none';
  /** Those that were let through, in order. */
  readonly passed: Asked[] = [];
  readonly counts: Record<Fault, number> = { none: 0, unavailable: 0, dropped: 0, lost: 0, hanging: 0, page: 0 };
  #target: URL;
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true });

  static async start(target: string): Promise<FailingProxy> {
    const proxy = new FailingProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((request, response) => this.#handle(request, response));
  }

  /** The server came back elsewhere. */
  moveTo(target: string): void {
    this.#target = new URL(target);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${this.#target.pathname}`;
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const asked = { method: request.method ?? '', path: (request.url ?? '').slice(this.#target.pathname.length) };
    const fault = this.fault(asked);
    this.counts[fault]++;
    request.on('error', () => {});
    response.on('error', () => {});
    switch (fault) {
      case 'unavailable': return void response.writeHead(503).end();
      case 'dropped': return void request.socket.destroy();
      case 'hanging': return void request.resume();
      case 'page': return void response.writeHead(404, { 'content-type': 'text/html' }).end('<html>no such service</html>');
      case 'none': case 'lost':
    }
    if (fault === 'none') this.passed.push(asked);
    const { hostname, port } = this.#target;
    const upstream = forward({ hostname, port, path: request.url, method: request.method, headers: request.headers, agent: this.#agent }, (answer) => {
      if (fault === 'lost') {
        answer.resume();
        return void answer.on('end', () => request.socket.destroy());
      }
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    upstream.on('error', () => request.socket.destroy());
    request.pipe(upstream);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    this.#agent.destroy();
  }
}
