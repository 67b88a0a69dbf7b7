import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EnforcementPartial, guaranteeNames, policies, PolicyInvalid, type Policy } from '../lib/index.js';
import { accessBits, handledAccess } from '../lib/kernel/landlock.js';
import type { CgroupController } from '../lib/kernel/cgroup.js';
import type { Probe } from '../lib/kernel/probe.js';
import { taskGuarantees } from '../lib/policy/enforcement.js';
import { plan } from '../lib/policy/plan.js';

const policy = suite('policy');
const host: Probe = { arch: 'x64', landlockAbi: 7, landlockErrata: 7, seccomp: true, procWhole: true, notify: { available: true, lacks: [], anyUser: true }, user: { uid: 0, gid: 0, lacks: [] } };

function refusal(call: () => unknown): PolicyInvalid | EnforcementPartial {
  try {
    call();
  } catch (error) {
    return error as PolicyInvalid;
  }
  throw new Error('it was accepted');
}

policy('a wrong field is refused with its path', () => {
  const rows: [unknown, string][] = [
    [null, ''],
    [[], ''],
    [{ reed: ['/usr'] }, 'reed'],
    [{ read: '/usr' }, 'read'],
    [{ read: ['/usr', 7] }, 'read[1]'],
    [{ write: [''] }, 'write[0]'],
    [{ execute: ['/a\0b'] }, 'execute[0]'],
    [{ cwd: 1 }, 'cwd'],
    [{ environment: ['A=b'] }, 'environment'],
    [{ environment: { 'A=B': 'c' } }, 'environment.A?B'],
    [{ environment: { A: 1 } }, 'environment.A'],
    [{ environment: { A: 'x\0y' } }, 'environment.A'],
    [{ network: 'all' }, 'network'],
    [{ network: { udp: [] } }, 'network.udp'],
    [{ network: { connect: 'a:1' } }, 'network.connect'],
    [{ network: { connect: [{ host: 'a', port: 1 }, { host: 'a' }] } }, 'network.connect[1].port'],
    [{ network: { connect: [{ port: 1 }] } }, 'network.connect[0].host'],
    [{ network: { connect: [{ host: 'a', port: 0 }] } }, 'network.connect[0].port'],
    [{ network: { connect: [{ host: 'a', port: 65536 }] } }, 'network.connect[0].port'],
    [{ network: { connect: [{ host: 'a', port: '80' }] } }, 'network.connect[0].port'],
    ...['', 'a b', 'a\nb', '127.1', '0x7f.1', '2130706433', 'fe80::1%eth0', '[::1]', '*', 'a.', '.a', `${'a'.repeat(64)}.b`].map((host): [unknown, string] => [{ network: { connect: [{ host, port: 1 }] } }, 'network.connect[0].host']),
    [{ network: { listen: [{ port: -1 }] } }, 'network.listen[0].port'],
    [{ network: { listen: [{ port: 1, address: 'a' }] } }, 'network.listen[0].address'],
    [{ limits: 5 }, 'limits'],
    [{ limits: { openFiles: 0 } }, 'limits.openFiles'],
    [{ limits: { openFiles: 1e9 } }, 'limits.openFiles'],
    [{ limits: { wallTimeMs: 1.5 } }, 'limits.wallTimeMs'],
    [{ limits: { wallTimeMs: '5' } }, 'limits.wallTimeMs'],
    [{ limits: { constructor: 5 } }, 'limits.constructor'],
    [{ limits: { memory: 5 } }, 'limits.memory'],
    [{ level: 'lax' }, 'level'],
    [{ without: ['memroy'] }, 'without[0]'],
    [{ toString: [] }, 'toString'],
  ];
  for (const [value, path] of rows) {
    const error = refusal(() => plan(value as Policy, host));
    assert.is(error.code, 'ERR_POLICY_INVALID', JSON.stringify(value));
    assert.is((error as PolicyInvalid).path, path, JSON.stringify(value));
  }
});

policy('a value of a variable never appears in a refusal', () => {
  const error = refusal(() => plan({ environment: { KEY: 'hunter2\0' } }, host));
  assert.not.match(error.message, /hunter2/);
});

policy('a plan is frozen and the same for the same host', () => {
  const made = plan(policies.node(), host);
  assert.ok(Object.isFrozen(made) && Object.isFrozen(made.landlock) && Object.isFrozen(made.landlock.rules) && Object.isFrozen(made.environment) && Object.isFrozen(made.limits));
  assert.equal(plan(policies.node(), host), made);
});

policy('every ABI: the rights of a newer one are never handled, and none of an older one is forgotten', () => {
  const expected = [0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff, 0xffff, 0xffff, 0xffff, 0x1ffff, 0x1ffff, 0x1ffff];
  expected.forEach((fs, abi) => {
    assert.is(handledAccess(abi).fs, fs, `ABI ${abi}`);
    assert.is(handledAccess(abi).net, abi >= 10 ? 15 : abi >= 4 ? 3 : 0);
    assert.is(handledAccess(abi).scoped, abi >= 6 ? 3 : 0);
  });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 30 }), (abi) => {
      const handled = handledAccess(abi);
      for (const name of ['read_file', 'refer', 'truncate', 'ioctl_dev', 'resolve_unix'] as const) assert.is(accessBits([name], abi) & ~handled.fs, 0);
    }),
  );
});

policy('a host with less is refused by name, unless the caller can do without', () => {
  for (let abi = 0; abi < 6; abi++) {
    const error = refusal(() => plan({}, { ...host, landlockAbi: abi })) as EnforcementPartial;
    assert.is(error.code, 'ERR_ENFORCEMENT_PARTIAL', `ABI ${abi}`);
    assert.match(error.missing, /Landlock ABI/);
  }
  assert.is((refusal(() => plan({}, { ...host, seccomp: false })) as EnforcementPartial).code, 'ERR_ENFORCEMENT_PARTIAL');
  assert.is((refusal(() => plan({}, { ...host, arch: 'other' })) as EnforcementPartial).code, 'ERR_ENFORCEMENT_PARTIAL');
  assert.is((refusal(() => plan({}, { ...host, procWhole: false })) as EnforcementPartial).guarantee, 'leftovers');
  const lesser = { ...host, landlockAbi: 5 };
  const lacking = taskGuarantees(lesser).filter(({ enforcement }) => enforcement === 'unavailable').map(({ name }) => name);
  assert.equal(lacking, ['signals', 'network', 'leftovers']);
  assert.is(plan({ without: lacking }, lesser).landlock.abi, 5);
  assert.throws(() => plan({ without: ['signals'] }, lesser));
});

policy('a host with none at all still makes a plan when all is waived', () => {
  const bare: Probe = { arch: 'other', landlockAbi: 0, landlockErrata: 0, seccomp: false, procWhole: false, notify: { available: false, lacks: [], anyUser: false }, user: { uid: 1000, gid: 1000, lacks: [] } };
  const made = plan({ without: guaranteeNames }, bare);
  assert.equal([made.landlock.handled, made.landlock.rules, made.seccomp.length], [[0, 0, 0], [], 0]);
});

policy('a network is resolved to hosts and ports, and refused where the supervisor cannot make the connections', () => {
  const network = { connect: [{ host: 'Example.COM', port: 443 }], listen: [{ port: 0 }] };
  const made = plan({ network }, host);
  assert.equal(made.network, { connect: [{ host: 'example.com', port: 443 }], listen: [{ host: '127.0.0.1', port: 0 }] });
  assert.ok(Object.isFrozen(made.network) && Object.isFrozen(made.network?.connect) && Object.isFrozen(made.network?.connect[0]));
  for (const none of ['none', {}, { connect: [] }] as const) assert.is(plan({ network: none }, host).network, undefined);
  assert.is(made.landlock.handled[1], 3, 'the domain itself lets no TCP through');
  const lesser = { ...host, notify: { available: false, lacks: ['seccomp user notification'], anyUser: false } };
  assert.is((refusal(() => plan({ network, without: ['network'] }, lesser)) as EnforcementPartial).guarantee, 'network');
  assert.ok(plan({ network: 'none' }, lesser));
  assert.is((refusal(() => plan({ network, without: guaranteeNames }, { ...host, seccomp: false })) as EnforcementPartial).guarantee, 'network');
  const other = { network, identity: { uid: 1, gid: 1 } };
  assert.is((refusal(() => plan(other, { ...host, notify: { available: true, lacks: [], anyUser: false } })) as PolicyInvalid).path, 'network');
  assert.ok(plan(other, host));
});

policy('presets add to what a caller asks for and grant nothing to write', () => {
  const made = plan(policies.command({ read: ['data'], environment: { A: 'b' } }), host);
  assert.ok(made.landlock.rules.some(({ path }) => path === `${process.cwd()}/data`), 'relative paths start at the supervisor');
  assert.equal(made.environment, { PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8', GIT_CONFIG_NOSYSTEM: '1', A: 'b' });
  assert.ok(made.scratch?.variables.some(([name]) => name === 'HOME'));
  const write = accessBits(['write_file'], 7);
  assert.equal(made.landlock.rules.filter(({ bits }) => (bits & write) !== 0).map(({ path }) => path), ['/dev/null']);
});

policy("memory is bounded by half of the host's where the author names no bound", () => {
  const large: Probe = { ...host, memoryBytes: 2 ** 34 };
  assert.is(plan({}, large).memoryBytes, 2 ** 33);
  assert.is(plan({ limits: { memoryBytes: 2 ** 34 } }, large).memoryBytes, 2 ** 34);
  const cgroups = { folder: '/sys/fs/cgroup/x', controllers: ['memory' as const], missing: '' };
  assert.is(plan({}, { ...large, cgroups }).cgroup?.memoryBytes, 2 ** 33);
});

policy('a task is asked what it starts, maps and locks unless a cgroup bounds both its processes and its memory', () => {
  const asks = (...controllers: CgroupController[]) => plan({ limits: { memoryBytes: 2 ** 30 } }, { ...host, cgroups: { folder: '/sys/fs/cgroup/x', controllers, missing: '' } }).asksToStart;
  assert.is(plan({}, host).asksToStart, true);
  assert.is(asks('memory', 'pids', 'cpu'), false);
  for (const controllers of [['memory'], ['pids'], ['cpu'], []] as CgroupController[][]) assert.is(asks(...controllers), true, controllers.join());
});

policy.run();
