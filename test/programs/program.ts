/** An ordinary program, written by somebody who never heard of this package. Its output must be the same in a task. */
export interface Program {
  readonly name: string;
  readonly code: string;
  /** Commands without which this host cannot run it. */
  readonly needs?: readonly string[];
}

export type Programs = Readonly<Record<string, string | Omit<Program, 'name'>>>;

export const listed = (programs: Programs): Program[] =>
  Object.entries(programs).map(([name, program]) => (typeof program === 'string' ? { name, code: program } : { name, ...program }));
