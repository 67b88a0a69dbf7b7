// What a worker or a triggerer says where no Execution API answers, and that it goes no further.
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { untilItAnswers } from '../lib/cli/api-answers.js';
import { ExecutionApi } from '../lib/index.js';

const answers = suite('api-answers');

async function listening(server: Server, address = '127.0.0.1'): Promise<string> {
  server.listen(0, address);
  await once(server, 'listening');
  return `${address}:${(server.address() as AddressInfo).port}`;
}

/** Asks until it answers, or until so much was said. */
async function heard(url: string, most: number, during: () => void = () => {}): Promise<{ readonly answered: boolean; readonly said: string[] }> {
  const said: string[] = [];
  await using api = new ExecutionApi({ baseUrl: url, requestTimeoutMs: 1_000 });
  const answered = await untilItAnswers(api, url, 'nothing is taken', {
    trouble({ message }) {
      said.push(message);
      during();
      if (said.length === most) process.emit('SIGTERM'); // none is sent: uvu would hear it too
    },
    over: (text) => said.push(text),
  });
  return { answered, said };
}

const http = (listener: RequestListener): Server => createHttpServer(listener);
const wrong: readonly (readonly [what: string, server: Server, scheme: string, said: RegExp])[] = [
  ['a page', http((_request, response) => response.setHeader('content-type', 'text/html').end('<html>')), 'http', /^no Execution API answers there \(status 200, .* has a path, as in http:/],
  ['a page that is not there', http((_request, response) => response.writeHead(404).end()), 'http', /^no Execution API answers there \(status 404\)\. The address has a path/],
  ['a login', http((_request, response) => response.writeHead(401).end()), 'http', /^what answers there wants to know who asks \(401\)/],
  ['a redirect', http((_request, response) => response.writeHead(301, { location: '/' }).end()), 'http', /^what answers there sends us elsewhere \(301\)/],
  ['a server in trouble', http((_request, response) => response.writeHead(502).end()), 'http', /^the server answers 502\./],
  ['who never answers', http(() => {}), 'http', /^HOST does not answer\./],
  ['who speaks no TLS', http((_request, response) => response.end()), 'https', /^HOST does not speak TLS, .* write http:/],
  ['who hangs up, as TLS servers do', createServer((socket) => socket.on('error', () => {}).once('data', () => socket.destroy())), 'http', /^HOST hangs up without an answer\. .* write https:/],
  ['another protocol', createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end('-ERR unknown command\r\n'))), 'http', /^HOST does not speak HTTP\./],
];
for (const [what, server, scheme, expected] of wrong) {
  answers(`${what} is told of, with what to do; it is asked again, until a signal ends it`, async () => {
    const host = await listening(server);
    const url = `${scheme}://${host}/execution/`;
    const { answered, said } = await heard(url, 2);
    assert.is(answered, false);
    assert.is(said.length, 2);
    const [head, tail] = [`--api ${url}: `, '. It is asked again; nothing is taken until it answers'];
    for (const text of said) {
      assert.ok(text.startsWith(head) && text.endsWith(tail), text);
      assert.match(text.slice(head.length, -tail.length).replaceAll(host, 'HOST'), expected);
    }
    server.close();
  });
}

answers('where nobody listens that is said, and when somebody does it goes on', async () => {
  const server = http((request, response) => {
    const isThere = request.url === '/execution/health';
    response.writeHead(isThere ? 200 : 404, { 'content-type': 'application/json', connection: 'close' }).end('{"status":"healthy"}');
  });
  const address = '127.0.0.77'; // where no other test takes the port meanwhile
  const host = await listening(server, address);
  server.close();
  await once(server, 'close');
  const { answered, said } = await heard(`http://${host}/execution/`, 100, () => void (server.listening || server.listen(Number(host.split(':')[1]), address)));
  assert.is(answered, true);
  assert.match(said[0] ?? '', `nothing listens at ${host} (ECONNREFUSED). Start the server, or correct the address`);
  assert.equal(said.at(-1), `http://${host}/execution/ answers`);
  assert.equal(await heard(`http://${host}/execution/`, 1), { answered: true, said: [] }); // control: nothing is said of one that is there
  server.close();
});

answers.run();
