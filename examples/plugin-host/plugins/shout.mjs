import { request } from 'sallyport/task';
import { serve } from './plugin.mjs';

const greeting = await request('settings.get', { key: 'greeting' });
await serve({ transform: (word) => `${greeting} ${word.toUpperCase()}!` });
