/** An option that Node was started with: its name with `-`, for V8 and Node take `_` as well, and what follows its `=`. */
export interface NodeOption {
  readonly name: string;
  readonly value: string | undefined;
}

/** As arguments and in NODE_OPTIONS. The value of an option without `=` comes as the name of the next. */
export function nodeOptions(): NodeOption[] {
  const inEnvironment = (process.env.NODE_OPTIONS ?? '').split(/[\s"]+/).filter((option) => option !== '');
  return [...process.execArgv, ...inEnvironment].map((option) => {
    const [, name, value] = /^(--?[^=/]+)=(.*)$/s.exec(option) ?? [undefined, option, undefined];
    return { name: name?.startsWith('-') ? name.replaceAll('_', '-') : (name ?? ''), value };
  });
}
