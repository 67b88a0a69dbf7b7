export { FolderQueue } from './folder.js';
export type { Claim, Result, WorkQueue } from './queue.js';
export { ServerQueue, type ServerQueueOptions } from './server.js';
export { Worker, type Subject, type WorkerEvent, type WorkerOptions } from './worker.js';
