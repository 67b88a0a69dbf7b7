import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../lib/native.js';

const dumpable = suite('dumpable');

dumpable('is cleared, and the kernel says so', () => {
  assert.is(native().getDumpable(), 1);
  native().disableDumpable();
  assert.is(native().getDumpable(), 0);
});

dumpable.run();
