import { serve } from './plugin.mjs';

let calls = 0;
await serve({ transform: () => (++calls === 1 ? process.abort() : 'still here') });
