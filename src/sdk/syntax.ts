/** What the compiler says of an ES module has Node's own frames and nothing else: neither file nor line. */
export function saysNoPlace(error: unknown): error is SyntaxError {
  if (!(error instanceof SyntaxError)) return false;
  const [first, ...frames] = String(error.stack).split('\n');
  return first?.startsWith('SyntaxError') === true && frames.every((frame) => frame.includes('node:internal/'));
}
