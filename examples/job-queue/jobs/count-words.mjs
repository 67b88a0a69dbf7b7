import { request } from 'sallyport/task';

const { text } = await request('job.input');
await request('job.result', { value: { words: text.split(' ').length } });
