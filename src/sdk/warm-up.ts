import { resolve } from 'node:path';
import { FrameDecoder, encodeRequest } from '../broker/frame.js';
import { provideTaskModule } from './provide.js';

/**
 * What takes time and is the same for every task, done while there is none yet: Node loads its loaders, streams and this package's own
 * paths when they are first used, which is half of what a short task takes. Nothing of the bundle is run.
 */
export async function warmUp(root: string): Promise<void> {
  provideTaskModule(resolve(root, 'any'));
  void process.stdout.writable;
  void process.stderr.writable;
  for (const _frame of new FrameDecoder().push(encodeRequest([0, { type: 'StartupDetails' }], 'frame'))) void _frame.cost;
  new Date().toISOString();
  await import('./first-import.js');
}
