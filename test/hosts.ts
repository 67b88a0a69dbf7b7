// Plans for kernels that are not at hand: what each lacks, in which words, and that `without` waives exactly that.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EnforcementPartial, type GuaranteeName, type Policy } from '../lib/index.js';
import { knownErrata, openErrata } from '../lib/kernel/landlock.js';
import type { Probe } from '../lib/kernel/probe.js';
import { taskGuarantees } from '../lib/policy/enforcement.js';
import { plan } from '../lib/policy/plan.js';

const hosts = suite('hosts');
const best: Probe = { arch: 'x64', landlockAbi: 10, landlockErrata: 0xf, seccomp: true, procWhole: true, notify: { available: true, lacks: [], anyUser: true }, user: { uid: 1000, gid: 1000, lacks: [] } };

const newest = 11; // one beyond what this release knows
/** The ABI that each guarantee of a task needs; those that need none are not here. */
const needs: [GuaranteeName, number][] = [
  ['signals', 6], ['interference', 3], ['siblings', 1], ['files', 3], ['network', 6], ['inheritance', 3], ['leftovers', 6], ['identity', 1],
];
const filtered: GuaranteeName[] = ['signals', 'interference', 'siblings', 'privileges', 'files', 'network', 'inheritance', 'kernel', 'resources', 'leftovers', 'identity'];

/** What this release does not do on any host. */
const everywhere = taskGuarantees(best).flatMap(({ missing }) => missing);

/** What is lacking, by guarantee, in the order in which a launch would say it. */
const lacking = (host: Probe): [GuaranteeName, readonly string[]][] =>
  taskGuarantees(host).filter(({ enforcement }) => enforcement === 'unavailable').map(({ name, missing }) => [name, missing.filter((what) => !everywhere.includes(what))]);

function refusal(policy: Policy, host: Probe): EnforcementPartial {
  try {
    plan(policy, host);
  } catch (error) {
    assert.instance(error, EnforcementPartial);
    return error as EnforcementPartial;
  }
  throw new Error('it was accepted');
}

/** Refused with the first of them; with all but one waived, with that one; with all waived, accepted. */
function checkWaivers(host: Probe, names: readonly GuaranteeName[]): void {
  if (names.length === 0) return assert.is(plan({}, host).confined, true);
  assert.is(refusal({}, host).guarantee, names[0]);
  for (const name of names) {
    const error = refusal({ without: names.filter((other) => other !== name) }, host);
    assert.equal([error.code, error.guarantee], ['ERR_ENFORCEMENT_PARTIAL', name]);
    assert.is(error.missing, taskGuarantees(host).find((row) => row.name === name)?.missing.join('; '));
  }
  assert.is(plan({ without: names }, host).landlock.abi, host.landlockAbi);
}

for (let abi = 0; abi <= newest; abi++) {
  for (const arch of ['x64', 'arm64'] as const) {
    hosts(`Landlock ABI ${abi}, ${arch}`, () => {
      const host = { ...best, arch, landlockAbi: abi };
      const expected = needs.filter(([, needed]) => abi < needed);
      assert.equal(lacking(host), expected.map(([name, needed]) => [name, [`needs Landlock ABI ${needed} (this kernel has ${abi === 0 ? 'none' : abi})`]]));
      checkWaivers(host, expected.map(([name]) => name));
    });
  }
}

hosts('no seccomp filters', () => {
  const host = { ...best, seccomp: false };
  assert.equal(lacking(host), filtered.map((name) => [name, ['needs seccomp filters']]));
  checkWaivers(host, filtered);
  assert.is(plan({ without: filtered }, host).seccomp.length, 0);
});

hosts('another architecture', () => {
  const host = { ...best, arch: 'other' as const };
  assert.equal(lacking(host), filtered.map((name) => [name, ['the filter is for x86_64 and aarch64']]));
  checkWaivers(host, filtered);
});

hosts('a /proc that hides processes', () => {
  const host = { ...best, procWhole: false };
  assert.equal(lacking(host), [['leftovers', ['needs a /proc of this PID namespace that hides no process (hidepid)']]]);
  checkWaivers(host, ['leftovers']);
});

hosts('nothing at all: every reason is told at once', () => {
  const host: Probe = { ...best, arch: 'other', landlockAbi: 0, landlockErrata: 0, seccomp: false, procWhole: false };
  assert.equal(Object.fromEntries(lacking(host))['leftovers'], [
    'needs Landlock ABI 6 (this kernel has none)', 'the filter is for x86_64 and aarch64', 'needs a /proc of this PID namespace that hides no process (hidepid)',
  ]);
  checkWaivers(host, filtered);
});

hosts('an erratum that widens what rules allow makes `files` partial, the others nothing', () => {
  const files = (landlockErrata: number, landlockAbi = 7): readonly [string, number] => {
    const row = taskGuarantees({ ...best, landlockAbi, landlockErrata }).find(({ name }) => name === 'files');
    return [row?.enforcement ?? '', row?.missing.length ?? -1];
  };
  assert.equal(files(0b111), ['enforced', 0]);
  assert.equal(files(0b100), ['enforced', 0]);
  assert.equal(files(0b011), ['partial', 1]);
  assert.equal(files(0), ['partial', 1], 'a kernel that cannot be asked');
  assert.equal(openErrata({ landlockAbi: 5, landlockErrata: 0 }).map(({ number }) => number), [1, 3], 'no bug of what the kernel does not have');
  assert.equal(openErrata({ landlockAbi: 0, landlockErrata: 0 }), []);
  assert.equal(knownErrata.filter(({ widens }) => widens).map(({ number }) => number), [3]);
});

hosts('the folder by which a launch sees its domain is one that the policy does not let it list', () => {
  assert.is(plan({ read: ['/usr'], write: ['/tmp'] }, best).landlock.unlisted, '/');
  for (const root of ['/', '//', '/.', '/usr/..']) assert.is(plan({ read: [root] }, best).landlock.unlisted, undefined, root);
});

hosts.run();
