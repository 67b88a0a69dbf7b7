/** The value below which `share` of them lie, between neighbours in proportion. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const below = sorted[Math.floor(place)] ?? NaN;
  const above = sorted[Math.ceil(place)] ?? NaN;
  return below + (above - below) * (place - Math.floor(place));
}

export interface Summary {
  readonly median: number;
  readonly quartiles: readonly [number, number];
}

export function summarize(values: readonly number[]): Summary {
  return { median: quantile(values, 0.5), quartiles: [quantile(values, 0.25), quantile(values, 0.75)] };
}

export interface Ratio extends Summary {
  /** 95 % of medians of resampled rounds lie here. Faster or slower may be said only when 1 lies outside. */
  readonly interval: readonly [number, number];
}

/** Round by round, since the two of a round share the machine's mood. */
export function pairedRatio(a: readonly number[], b: readonly number[]): Ratio {
  const ratios = a.map((value, round) => value / (b[round] ?? NaN));
  const medians = Array.from({ length: 1000 }, () => quantile(Array.from(ratios, () => ratios[Math.floor(Math.random() * ratios.length)] ?? NaN), 0.5));
  return { ...summarize(ratios), interval: [quantile(medians, 0.025), quantile(medians, 0.975)] };
}

/** In a random order each round, so that none is always behind the same other. */
export function shuffled<T>(values: readonly T[]): T[] {
  const order = [...values];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j] as T, order[i] as T];
  }
  return order;
}
