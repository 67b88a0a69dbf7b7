const units = [365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3600, 60, 1];
const number = String.raw`(\d{1,12}(?:\.\d{1,12})?)`;
const form = new RegExp(`^([+-]?)P(?=.)(?:${number}Y)?(?:${number}M)?(?:${number}W)?(?:${number}D)?(?:T(?=.)(?:${number}H)?(?:${number}M)?(?:${number}S)?)?$`);

/** A duration of ISO 8601 in milliseconds, with Pydantic's years of 365 days and months of 30; undefined for what is none. */
export function durationMs(text: string): number | undefined {
  const [, sign, ...counts] = form.exec(text) ?? [];
  if (sign === undefined) return undefined;
  const seconds = counts.reduce((sum, count, index) => sum + Number(count ?? 0) * (units[index] ?? 0), 0);
  return (sign === '-' ? -1000 : 1000) * seconds;
}
