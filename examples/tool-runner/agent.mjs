// node examples/tool-runner/agent.mjs
import { randomBytes } from 'node:crypto';
import { harden, launch, policies, Secret } from 'sallyport';

harden();
const apiKey = Secret.fromBytes(randomBytes(32)); // of the model's API: no command ever needs it

/** One shell command that a model proposed: run in a folder of its own, without a network, and told about in words that a model understands. */
async function shell(command, { signal } = {}) {
  const task = await launch(['bash', '-c', command], {
    policy: policies.command({ limits: { wallTimeMs: 5_000, memoryBytes: 512e6, processes: 128 } }),
    signal,
  });
  const { exit, stdout, stderr } = await task.output({ maxBytes: 10_000 });
  const how = exit.kind === 'ended' ? `ended: ${exit.violation.message}` : exit.kind === 'signaled' ? `killed by ${exit.signal}` : `exit code ${exit.exitCode}`;
  return { how, output: `${stdout}${stderr}`.trimEnd() };
}

// What a model might propose; some of it because a web page told it to.
const proposed = [
  'seq 3 > numbers && awk "{ s += \\$1 } END { print s }" numbers',
  'git init -q . && git config user.email a@b && git config user.name a && echo hi > f && git add f && git commit -qm one && git log --format=%s',
  'yes "filling the context"',
  'sleep 60',
  `cat /proc/${process.pid}/environ ~root/.ssh/id_rsa; kill -9 ${process.pid}; ls /home`,
  'curl -s -m 2 http://169.254.169.254/latest/meta-data || echo no network',
  '(setsid sleep 86399 &) ; echo left behind',
];
for (const command of proposed) {
  const { how, output } = await shell(command);
  const shown = output.length > 300 ? `${output.slice(0, 60)} ... (${output.length} characters)` : output;
  console.log(`$ ${command}\n${shown.replace(/^/gm, '  ')}\n  [${how}]\n`);
}
apiKey.destroy();
