import { parseArgs, type ParseArgsConfig } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;

const help = { help: { type: 'boolean', short: 'h', default: false } } as const;

type Parsed<T extends Options> = ReturnType<typeof parseArgs<{ options: T; allowPositionals: true }>>;
/** What a command's options were given. */
export type Values<T extends Options> = Parsed<T>['values'];

/**
 * The words behind a command's name, as node:util's parseArgs reads them. Undefined: `--help` was among them, and `usage` has been printed.
 * @throws What parseArgs throws, for which src/cli/main.ts has exit code 2.
 */
export function commandLine<T extends Options>(args: readonly string[], usage: string, options: T, { allowPositionals = false } = {}): Parsed<T> | undefined {
  const parsed = parseArgs({ args: [...args], options: { ...options, ...help }, allowPositionals });
  if (!(parsed.values as { readonly help: boolean }).help) return parsed as Parsed<T>;
  process.stdout.write(usage);
  return undefined;
}
