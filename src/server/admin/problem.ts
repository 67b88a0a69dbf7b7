import { Problem } from '../problem.js';

/** What the databases say of a name that leads nowhere or that others lead to, and of one that is there: SQLSTATE, and SQLite's words, for its binding gives no code. */
const dangling = (code: unknown, message: string): boolean => code === '23503' || message === 'FOREIGN KEY constraint failed';
const twice = (code: unknown, message: string): boolean => code === '23505' || message.startsWith('UNIQUE constraint failed');

/** @throws {Problem} 409 `unknown_name` or `already_exists` for what the tables do not let be; 422 for a time that is none. */
export async function asProblem<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code, statusCode, message } = error as { readonly code?: string; readonly statusCode?: number; readonly message: string };
    if (dangling(code, message)) throw new Problem(409, { reason: 'unknown_name', message: 'It names what is not there, or others name it' });
    if (twice(code, message)) throw new Problem(409, { reason: 'already_exists', message: 'There is one already' });
    if (statusCode === 422) throw new Problem(422, [{ loc: ['body'], msg: message, type: 'value_error' }]);
    throw error;
  }
}
