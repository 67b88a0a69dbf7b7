import type { App } from '../app.js';

export function health(app: App): void {
  app.get('/health', { config: { access: 'public' } }, () => ({ status: 'healthy' }));
}
