import { statSync } from 'node:fs';
import { usageError } from './command-line.js';

// What the commands that take work from a server have in common.

/** @throws A usage error. */
export function apiUrl(url: string | undefined): string {
  if (url === undefined) throw usageError('--api says where the Execution API is');
  const { protocol = '', username = '', password = '', search = '', hash = '' } = URL.canParse(url) ? new URL(url) : {};
  if (username !== '' || password !== '') throw usageError('--api takes a URL without user and password, which every user of this host could read: credentials have options of their own');
  if (!/^https?:$/.test(protocol)) throw usageError(`--api takes an http or https URL, as http://127.0.0.1:8080/execution/, not "${url}"`);
  if (search !== '' || hash !== '') throw usageError(`--api takes a URL without "?" and "#", not "${url}"`);
  return url;
}

/** @param whose What is there, for whoever named none. @throws A usage error. */
export function bundlesOf(given: readonly string[], whose: string): Readonly<Record<string, string>> {
  const bundles = given.map((text): readonly [string, string] => {
    const [, name, place] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
    if (name === undefined || place === undefined) throw usageError(`--bundle takes NAME=FOLDER, not "${text}"`);
    if (statSync(place, { throwIfNoEntry: false })?.isDirectory() !== true) throw usageError(`--bundle ${text}: there is no such folder`);
    return [name, place];
  });
  if (bundles.length === 0) throw usageError(`--bundle says where the code of ${whose} is`);
  return Object.fromEntries(bundles);
}

/** @throws A usage error. */
export function count(option: string, text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < least || number > most) throw usageError(`${option} takes a whole number from ${least} to ${most}`);
  return number;
}
