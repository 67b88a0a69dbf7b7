// Variables by which whoever sets them decides what a program loads or trusts, before any of its own code runs.

/** Of the loader, ld.so(8), of Node, OpenSSL and our own addon's; and two that have Node trust any server, and write what ran to a file. */
const loading = ['GLIBC_TUNABLES', 'GCONV_PATH', 'LOCPATH', 'NODE_COMPILE_CACHE', 'NODE_PATH', 'NODE_TLS_REJECT_UNAUTHORIZED', 'NODE_V8_COVERAGE', 'OPENSSL_CONF', 'OPENSSL_ENGINES', 'OPENSSL_MODULES', 'SALLYPORT_PREBUILD'];

/** What NODE_OPTIONS may say: nothing here loads code, opens the debugger or writes memory to a file. */
const harmless = [
  /^--(max|min|initial)-(old-space|semi-space|heap)-size$/, /^--max-old-space-size-percentage$/, /^--stack-trace-limit$/, /^--max-http-header-size$/,
  /^--enable-source-maps$/, /^--(no-)?(warnings|deprecation)$/, /^--(trace|throw)-(warnings|deprecation|uncaught|exit)$/, /^--disable-warning$/,
  /^--unhandled-rejections$/, /^--dns-result-order$/, /^--(no-)?network-family-autoselection$/, /^--use-(openssl|system|bundled)-ca$/, /^--tls-(min|max)-v1\.\d$/,
  /^--disable-sigusr1$/, /^--frozen-intrinsics$/, /^--disable-proto$/, /^--report-exclude-(env|network)$/, /^--secure-heap(-min)?$/, /^--preserve-symlinks(-main)?$/,
];

/**
 * The names of the variables that load something, and for NODE_OPTIONS the option. Pure.
 *
 * @returns In words, without a value: `LD_PRELOAD`, `NODE_OPTIONS (--require)`.
 */
export function loaderVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const set = Object.keys(environment).filter((name) => (environment[name] ?? '') !== '').sort();
  const named = set.filter((name) => name.startsWith('LD_') || loading.includes(name));
  const option = (environment['NODE_OPTIONS'] ?? '').split(/\s+/).map(nameOf).find((name) => name !== '' && !harmless.some((known) => known.test(name)));
  return option === undefined ? named : [...named, `NODE_OPTIONS (${option})`];
}

/** An option's name with `-`, for Node and V8 take `_` as well. A value that stands alone is taken for one, which none of the harmless has. */
function nameOf(word: string): string {
  const name = word.replaceAll('"', '').split('=')[0] ?? '';
  return name.startsWith('-') ? name.replaceAll('_', '-') : name.slice(0, 40);
}
