// What a plug-in is written with: `serve({ name(value) { return ... } })`.
import { request } from 'sallyport/task';

export async function serve(handlers) {
  for (;;) {
    const { id, name, value } = await request('plugin.next');
    await request('plugin.answer', { id, value: (await handlers[name]?.(value)) ?? null });
  }
}
