import { access } from 'node:fs/promises';
import { sleep } from 'sallyport/trigger';

export async function* arrives({ kwargs, signal }) {
  for (;; await sleep(200, signal)) {
    if (await access(kwargs.path).then(() => true, () => false)) return yield { path: kwargs.path };
  }
}
