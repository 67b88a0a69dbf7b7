import { listed } from './program.js';

/** Each is run by `python3 -c` in an empty folder of its own. */
export const python = listed({
  'the standard library': `
import abc, argparse, array, base64, bisect, collections, concurrent.futures, configparser, contextlib, copy, csv, ctypes, dataclasses, datetime, decimal, difflib, email, enum, fractions, functools, glob, gzip, hashlib, heapq, hmac, html, http.client, importlib, inspect, io, itertools, json, logging, math, mimetypes, multiprocessing, operator, os, pathlib, pickle, platform, pprint, queue, random, re, sched, secrets, select, shelve, shlex, shutil, signal, socket, ssl, statistics, string, struct, subprocess, sys, tarfile, tempfile, textwrap, threading, time, timeit, tokenize, traceback, types, typing, unittest, urllib.request, uuid, warnings, weakref, xml.etree.ElementTree, zipfile, zlib, zoneinfo
print(ssl.OPENSSL_VERSION, platform.platform(), sys.version, sys.prefix, hashlib.sha256(b'x').hexdigest(), uuid.uuid4().version, zoneinfo.ZoneInfo('Europe/Berlin').key)`,
  subprocess: `
import subprocess, sys
print(subprocess.run(['echo', 'a'], capture_output=True, text=True).stdout, subprocess.check_output('echo b | tr b c', shell=True), subprocess.run([sys.executable, '-c', 'import sys; sys.exit(3)']).returncode)
p = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE); print(p.communicate(b'x')); p = subprocess.Popen(['sleep', '9']); p.terminate(); print(p.wait())
try: subprocess.run(['sleep', '9'], timeout=0.05)
except subprocess.TimeoutExpired: print('expired')`,
  threading: `
import threading, queue
from concurrent.futures import ThreadPoolExecutor
q = queue.Queue(); [threading.Thread(target=lambda i=i: q.put(i)).start() for i in range(8)]; print(sorted(q.get() for _ in range(8)), list(ThreadPoolExecutor(4).map(lambda x: x * x, range(5))))`,
  asyncio: `
import asyncio, signal
async def main():
    p = await asyncio.create_subprocess_exec('echo', 'a', stdout=asyncio.subprocess.PIPE); print(await p.communicate()); print(await asyncio.gather(*[asyncio.to_thread(lambda x=x: x) for x in range(3)]), await asyncio.wait_for(asyncio.sleep(0, 5), 1))
    done = asyncio.Event(); asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, done.set); signal.raise_signal(signal.SIGUSR1); await done.wait(); print('signalled')
asyncio.run(main())`,
  tempfile: `
import tempfile, os
f = tempfile.NamedTemporaryFile('w+'); f.write('x'); f.flush(); print(os.path.getsize(f.name)); d = tempfile.TemporaryDirectory(); open(d.name + '/a', 'w').write('1'); d.cleanup(); print(os.path.exists(d.name))
t = tempfile.TemporaryFile(); t.write(b'q'); t.seek(0); print(t.read()); s = tempfile.SpooledTemporaryFile(1); s.write(b'abc'); s.close()`,
  'shutil and pathlib': `
import shutil, os, pathlib
os.mkdir('a'); open('a/x', 'w').write('1'); shutil.copytree('a', 'b'); shutil.copy2('a/x', 'y'); shutil.copy('y', 'z'); shutil.move('z', 'b/z'); shutil.make_archive('ar', 'zip', 'a'); shutil.unpack_archive('ar.zip', 'u')
print(sorted(str(p) for p in pathlib.Path('.').rglob('*'))); shutil.rmtree('b'); os.chmod('y', 0o600); os.utime('y', (1, 1)); os.chown('y', os.getuid(), os.getgid()); print(shutil.disk_usage('.').total > 0, shutil.which('sh')); pathlib.Path('n').touch(mode=0o600); pathlib.Path('y').rename('w')`,
  'sqlite3 module': `
try: import sqlite3
except ImportError: print('none'); raise SystemExit
c = sqlite3.connect('d.db'); c.execute('pragma journal_mode=wal'); c.execute('create table t(a)'); c.executemany('insert into t values(?)', [(i,) for i in range(10)]); c.commit(); print(c.execute('select sum(a) from t').fetchone())`,
  ctypes: `
import ctypes, ctypes.util
l = ctypes.CDLL(None); print(l.abs(-3)); F = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)); a = (ctypes.c_int * 3)(3, 1, 2); l.qsort(a, 3, 4, F(lambda x, y: x[0] - y[0])); print(list(a), ctypes.util.find_library('c'))`,
  'memory that is mapped and shared with a fork': `
import mmap, os
m = mmap.mmap(-1, 4096); p = os.fork()
if p == 0: m[:2] = b'yo'; os._exit(0)
os.waitpid(p, 0); print(m[:2]); open('f', 'wb').write(b'x' * 10); f = open('f', 'r+b'); n = mmap.mmap(f.fileno(), 0); n[0] = 65; n.flush(); print(open('f').read())`,
  'fork, pipe, alarm': `
import os, signal
r, w = os.pipe(); p = os.fork()
if p == 0: os.write(w, b'child'); os._exit(7)
os.close(w); print(os.read(r, 10), os.waitstatus_to_exitcode(os.waitpid(p, 0)[1])); signal.signal(signal.SIGALRM, lambda *a: print('alarm')); signal.setitimer(signal.ITIMER_REAL, 0.05); signal.pause()`,
  'multiprocessing: Process and Pipe': `
import multiprocessing as m
def f(c): c.send('from the child'); c.close()
a, b = m.Pipe(); p = m.get_context('fork').Process(target=f, args=(b,)); p.start(); print(a.recv()); p.join(); print(p.exitcode)`,
  'multiprocessing: spawn': `
import subprocess, sys; open('s.py', 'w').write("""
import multiprocessing as m
def f(c): c.send('spawned'); c.close()
if __name__ == '__main__':
    x = m.get_context('spawn'); a, b = x.Pipe(); p = x.Process(target=f, args=(b,)); p.start(); print(a.recv()); p.join(); print(p.exitcode)
"""); r = subprocess.run([sys.executable, 's.py'], capture_output=True, text=True); print(r.returncode, r.stdout)`,
  os: `
import os, resource, pwd, locale, time
print(os.cpu_count(), len(os.getloadavg()), os.uname().sysname, pwd.getpwuid(os.getuid()).pw_name, locale.getpreferredencoding(), time.tzname, os.sched_getaffinity(0), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0, os.listdir('.'), len(os.urandom(4)), os.get_terminal_size.__name__); os.nice(1); os.umask(0o77); os.makedirs('a/b'); os.replace('a/b', 'c'); print(os.path.expanduser('~') != '~', os.path.samefile('.', os.getcwd()), os.access('.', os.W_OK))`,
  'a virtual environment of its own': `
import subprocess, sys
r = subprocess.run([sys.executable, '-m', 'venv', '--without-pip', 'v'], capture_output=True, text=True); print(r.returncode, r.stderr); r = subprocess.run(['v/bin/python', '-c', 'import sys; print(sys.prefix != sys.base_prefix)'], capture_output=True, text=True); print(r.stdout)`,
  'modules of its own': `
import sys, os
os.mkdir('pkg'); open('pkg/__init__.py', 'w').write('v = 1'); open('pkg/m.py', 'w').write('from . import v'); sys.path.insert(0, '.')
from pkg.m import v; print(v)`,
  unittest: `
import unittest
class T(unittest.TestCase):
    def test(self): self.assertEqual(1, 1)
print(unittest.main(argv=['x'], exit=False).result.wasSuccessful())`,
  'a network that is refused, cleanly': `
import socket, urllib.request
for attempt in (lambda: socket.create_connection(('127.0.0.1', 9), 1), lambda: urllib.request.urlopen('http://127.0.0.1:9/')):
    try: attempt()
    except OSError: print('refused')`,
  'socket pairs and selectors': `
import socket, selectors
a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1)); s = selectors.DefaultSelector(); s.register(b, selectors.EVENT_READ); a.send(b'y'); print(len(s.select(1)))`,
  logging: `
import logging, logging.handlers, os
h = logging.handlers.RotatingFileHandler('l.log', maxBytes=100, backupCount=2); l = logging.getLogger(); l.addHandler(h); [l.warning('x' * 50) for _ in range(5)]; print(sorted(os.listdir('.')))`,
  'zip and tar': `
import tarfile, zipfile, os
open('a', 'w').write('x'); t = tarfile.open('t.tgz', 'w:gz'); t.add('a'); t.close(); os.mkdir('o'); tarfile.open('t.tgz').extractall('o'); print(os.listdir('o')); z = zipfile.ZipFile('z.zip', 'w'); z.write('a'); z.close(); zipfile.ZipFile('z.zip').extractall('p'); print(os.listdir('p'))`,
  'fcntl locks, dbm, shelve': `
import fcntl, shelve, os
f = open('f', 'w'); fcntl.flock(f, fcntl.LOCK_EX); fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB); s = shelve.open('s'); s['a'] = [1]; s.close(); print(shelve.open('s')['a']); os.posix_fallocate(f.fileno(), 0, 100); print(os.fstat(f.fileno()).st_size)`,
});
