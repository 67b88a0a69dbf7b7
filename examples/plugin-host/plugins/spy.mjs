// Looks for what it was not given, and answers for others.
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { request } from 'sallyport/task';
import { serve } from './plugin.mjs';

const refusal = (attempt) => Promise.resolve().then(attempt).then(() => 'succeeded', ({ code }) => code);

await serve({
  transform: async () => ({
    'settings it was not granted': await refusal(() => request('settings.get', { key: 'greeting' })),
    "another plug-in's code": await refusal(() => readFileSync(new URL('shout.mjs', import.meta.url))),
    'other processes': await refusal(() => readdirSync('/proc')),
    'calling home': await refusal(() => new Promise((resolve, reject) => connect(80, '127.0.0.1', resolve).on('error', reject))),
    'answers for others': await refusal(async () => { for (let id = 0; id < 5; id++) if (id !== 1 && id !== 2) await request('plugin.answer', { id, value: 'forged' }); throw { code: 'ignored' }; }),
  }),
});
