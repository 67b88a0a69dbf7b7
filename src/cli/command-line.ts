import { parseArgs, type ParseArgsConfig } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;

const help = { help: { type: 'boolean', short: 'h', default: false } } as const;

type Parsed<T extends Options> = ReturnType<typeof parseArgs<{ options: T; allowPositionals: true }>>;
/** What a command's options were given. */
export type Values<T extends Options> = Parsed<T>['values'];

/**
 * The words behind a command's name, as node:util's parseArgs reads them. Undefined: `--help` was among them, and `usage` has been printed.
 * @throws A usage error, for which src/cli/main.ts has exit code 2.
 */
export function commandLine<T extends Options>(args: readonly string[], usage: string, options: T, { allowPositionals = false } = {}): Parsed<T> | undefined {
  const config = { args: [...args], options: { ...options, ...help }, allowPositionals };
  const mistake = mistakeIn(config);
  if (mistake !== undefined) throw usageError(mistake);
  const parsed = parseArgs(config);
  if (!(parsed.values as { readonly help: boolean }).help) return parsed as Parsed<T>;
  process.stdout.write(usage);
  return undefined;
}

/** Wrong arguments, in the shape that parseArgs gives its own complaints. */
export function usageError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE' });
}

/** What parseArgs would complain of, in words for whoever has typed it. */
function mistakeIn(config: { readonly args: string[]; readonly options: Options; readonly allowPositionals: boolean }): string | undefined {
  const { options, allowPositionals } = config;
  for (const token of parseArgs({ ...config, allowPositionals: true, strict: false, tokens: true }).tokens) {
    if (token.kind === 'positional' && !allowPositionals) return `"${token.value}" is one word too many: there are options alone; --help lists all`;
    if (token.kind !== 'option') continue;
    const { name, rawName, value, inlineValue } = token;
    const option = Object.hasOwn(options, name) ? options[name] : undefined;
    const meant = nearest(name, Object.keys(options));
    if (option === undefined) return `there is no option ${rawName}; ${meant === undefined ? '' : `is --${meant} meant? `}--help lists all`;
    if (option.type === 'boolean' && value !== undefined) return `${rawName} takes no value`;
    if (option.type === 'string' && (value === undefined || (!inlineValue && value.startsWith('-') && value !== '-'))) return `${rawName} takes a value${value === undefined ? '' : `; one that begins with "-" is given as ${rawName.startsWith('--') ? `${rawName}=${value}` : `${rawName}${value}`}`}`;
  }
  return undefined;
}

/** What a word that is none of these was meant to be, if it is like one of them. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const [best] = known.map((name) => ({ name, distance: distance(word, name) })).sort((a, b) => a.distance - b.distance);
  return best !== undefined && best.distance <= Math.min(2, Math.floor(best.name.length / 3)) ? best.name : undefined;
}

/** How many letters have to be added, left out or changed: Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) next.push(Math.min((row[j] ?? 0) + (a[i] === b[j] ? 0 : 1), (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    row = next;
  }
  return row[b.length] ?? 0;
}
