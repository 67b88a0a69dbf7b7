import { readFile } from 'node:fs/promises';
import { defer, variables } from 'sallyport/task';

export default async function load() {
  const path = await variables.get('inbox');
  defer({ trigger: 'triggers/file.mjs#arrives', trigger_kwargs: { path }, method_name: 'arrived', timeoutMs: 3_600_000 });
}

// Another process, in which nothing is left of the one above.
export async function arrived(_context, { event }) {
  const rows = (await readFile(event.path, 'utf8')).trim().split('\n');
  console.log(`${rows.length} rows in ${event.path.split('/').at(-1)}`);
}
