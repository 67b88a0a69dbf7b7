export type { Config } from './config.js';
export { loadConfig, type LoadConfigOptions } from './load.js';
export { roles, type Role } from './options.js';
export type { SallyportSettings } from './sallyport.js';
