// `node --import sallyport/register app.js` hardens the process before anything of the app loads.

import { writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { harden } from './harden/harden.js';

// Worker threads load it again; what it does is the whole process's, and done.
if (isMainThread) {
  try {
    harden();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    writeSync(2, `sallyport: this process is not hardened and does not start: ${message}${code === undefined ? '' : ` [${code}]`}\n`);
    process.exit(1);
  }
}
