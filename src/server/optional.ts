/**
 * Loads one of the packages that only the server needs, and that `npm install` may have left out.
 *
 * @throws `ERR_MODULE_NOT_FOUND`, saying what to install.
 */
export async function optional<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const error = new Error(`sallyport/server needs the package "${name}": npm install fastify light-my-request@6.6 @photostructure/sqlite pg`, { cause });
    throw Object.assign(error, { code: 'ERR_MODULE_NOT_FOUND' as const });
  }
}
