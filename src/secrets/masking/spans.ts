/** What takes a secret's place: Airflow's mark. */
export const mark = '***';

/** A part of a text that must not be shown. */
export interface Span {
  readonly start: number;
  readonly end: number;
  /** What is shown instead; '' where that has been written already. */
  readonly mark: string;
  /** A token that may go on in what comes next. */
  readonly open?: boolean;
}

/** Spans in order, those that overlap made one, which has the mark of the one that begins first. */
export function united(spans: readonly Span[]): Span[] {
  const rank = ({ mark: own }: Span): number => (own === '' ? 0 : own === mark ? 1 : 2);
  const joined: Span[] = [];
  for (const span of [...spans].sort((a, b) => a.start - b.start || rank(a) - rank(b))) {
    const last = joined.at(-1);
    if (last !== undefined && span.start < last.end) {
      const furthest = span.end > last.end || (span.end === last.end && span.open === true) ? span : last;
      joined[joined.length - 1] = { start: last.start, end: furthest.end, mark: last.mark, open: furthest.open === true };
    } else {
      joined.push(span);
    }
  }
  return joined;
}

/** The first `upTo` bytes of a text, with marks for its spans. */
export function rendered(text: Buffer, spans: readonly Span[], upTo: number): Buffer {
  if (spans.length === 0) return text.subarray(0, upTo);
  const parts: Buffer[] = [];
  let at = 0;
  for (const span of spans) {
    if (span.start >= upTo) break;
    parts.push(text.subarray(at, span.start), Buffer.from(span.mark));
    at = Math.min(span.end, upTo);
  }
  return Buffer.concat([...parts, text.subarray(at, upTo)]);
}
