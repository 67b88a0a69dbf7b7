/** What a task cannot do, and docs/in-a-task.md says so. A row that begins to work is good news that the page has to tell. */
export interface Limited {
  readonly name: string;
  readonly kind: 'shell' | 'node' | 'python';
  readonly code: string;
  readonly needs?: readonly string[];
  readonly unconfined: RegExp;
  readonly inTask: RegExp;
}

export const limited: readonly Limited[] = [
  { name: 'executing a file that it wrote', kind: 'shell', code: 'cp /bin/true t; chmod 755 t; ./t && echo worked || echo no', unconfined: /worked/, inTask: /denied/ },
  { name: 'listing a folder above its own', kind: 'shell', code: 'ls / > /dev/null && echo worked', unconfined: /worked/, inTask: /denied/ },
  { name: 'ps, pgrep', kind: 'shell', code: 'ps > /dev/null && echo worked', needs: ['ps'], unconfined: /worked/, inTask: /proc/ },
  { name: "a child's own /proc", kind: 'shell', code: 'bash -c "read line < /proc/self/stat && echo worked"; echo end', unconfined: /worked/, inTask: /denied/ },
  { name: 'process.memoryUsage() in a child process', kind: 'node', code: `console.log(require('child_process').spawnSync(process.execPath, ['-p', 'process.memoryUsage().rss > 0'], { encoding: 'utf8' }).stdout)`, unconfined: /true/, inTask: /^\s*$/ },
  { name: 'fs.watch', kind: 'node', code: `try { require('fs').watch('.').close(); console.log('worked') } catch ({ code }) { console.log(code) }`, unconfined: /worked/, inTask: /EPERM/ },
  { name: 'servers on Unix sockets', kind: 'node', code: `require('net').createServer().on('error', ({ code }) => console.log(code)).listen('s', function () { console.log('worked'); this.close() })`, unconfined: /worked/, inTask: /EACCES|EPERM/ },
  { name: 'multiprocessing: locks, queues, pools', kind: 'python', code: 'import multiprocessing as m\nwith m.Pool(2) as p: print("worked", p.map(abs, [-1]))', unconfined: /worked/, inTask: /PermissionError/ },
  { name: 'multiprocessing: ThreadPool', kind: 'python', code: 'from multiprocessing.pool import ThreadPool\nwith ThreadPool(2) as p: print("worked", p.map(abs, [-1]))', unconfined: /worked/, inTask: /PermissionError/ },
  { name: 'multiprocessing: shared_memory', kind: 'python', code: 'from multiprocessing import shared_memory as s\nm = s.SharedMemory(create=True, size=10); m.close(); m.unlink(); print("worked")', unconfined: /worked/, inTask: /PermissionError/ },
];
