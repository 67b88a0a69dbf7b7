import { readFileSync } from 'node:fs';
import { request } from 'sallyport/task';

console.log('signed:', await request('sign', { text: 'an invoice' }));

try {
  readFileSync(`/proc/${process.ppid}/environ`);
} catch ({ code }) {
  console.log("the supervisor's environment:", code);
}
