import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Prop, Sighting } from '../props.js';
import { descendants, link, list, read } from './process-tree.js';

const everyMs = 50;

/** Looks at every process of the supervisor's, again and again, and keeps the first thing that should not be. */
export function onlooker(verdict: Sighting['verdict'], look: (pid: number, supervisor: number) => string | undefined): Prop {
  let timer: NodeJS.Timeout | undefined;
  let found: Sighting | undefined;
  return {
    watch(supervisor) {
      timer = setInterval(() => {
        const evidence = found === undefined ? descendants(supervisor).map((pid) => look(pid, supervisor)).find((words) => words !== undefined) : undefined;
        if (evidence !== undefined) found = { verdict, evidence };
      }, everyMs);
    },
    seen: () => found,
    end: () => clearInterval(timer),
  };
}

const field = (pid: number, name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(read(pid, 'status'))?.[1] ?? '';

/** Ours is the supervisor's, which does not let its own be read once it is hardened. */
const ownNamespace = link(process.pid, 'ns/user');

/** User ids and user namespaces that are not the supervisor's. */
export const identities = (): Prop =>
  onlooker('leaked', (pid, supervisor) => {
    const [uids, own] = [field(pid, 'Uid'), field(supervisor, 'Uid')];
    if (uids !== '' && own !== '' && uids !== own) return `a process of the task runs with the user ids ${uids.replace(/\s+/g, ' ')}`;
    const namespace = link(pid, 'ns/user');
    return namespace !== '' && namespace !== ownNamespace ? `a process of the task has a user namespace, and ${field(pid, 'CapEff')} there` : undefined;
  });

/** An empty file system over a folder that others rely on. */
export function mounts(): Prop {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-mount-'));
  const eyes = onlooker('disrupted', (pid) => (read(pid, 'mountinfo').includes(` ${folder} `) ? 'a process of the task has mounted a file system' : undefined));
  return {
    ...eyes,
    told: { mountPoint: folder },
    grants: { read: [folder] },
    async end() {
      await eyes.end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Programs that are no file, and so in no policy. */
export const programs = (): Prop =>
  onlooker('leaked', (pid) => (link(pid, 'exe').startsWith('/memfd:') ? 'a program runs that is no file' : undefined));

const strange = /^anon_inode:(\[userfaultfd\]|\[perf_event\]|\[fanotify\]|bpf-map)$/;

/** Descriptors of kernel facilities that a task has no business with. */
export const objects = (): Prop =>
  onlooker('leaked', (pid) => {
    const object = list(`/proc/${pid}/fd`).map((fd) => link(pid, `fd/${fd}`)).find((name) => strange.test(name));
    return object === undefined ? undefined : `a process of the task holds ${object.slice('anon_inode:'.length)}`;
  });

/** A memory layout without randomness, data that can be run. personality(2) */
export const personalities = (): Prop =>
  onlooker('leaked', (pid) => (/^0*$/.test(read(pid, 'personality').trim()) ? undefined : 'a process of the task has another personality'));
