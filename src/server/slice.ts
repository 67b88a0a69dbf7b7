/** Which of `count` items: from the `first`th on `take`, and of these each `every`th, from the end where `reversed`. */
export interface Slice {
  readonly first: number;
  readonly take: number;
  readonly every: number;
  readonly reversed: boolean;
}

/** What Python's `items[start:stop:step]` means: as slice.indices() has it. A step of 0 is 1, as Airflow has it. */
export function sliceOf(count: number, start?: number, stop?: number, step = 1): Slice {
  const every = Math.abs(step) || 1;
  const reversed = step < 0;
  const [least, most] = reversed ? [-1, count - 1] : [0, count];
  const at = (index: number): number => Math.min(Math.max(index < 0 ? index + count : index, least), most);
  const from = start === undefined ? (reversed ? most : least) : at(start);
  const to = stop === undefined ? (reversed ? least : most) : at(stop);
  const take = Math.max(reversed ? from - to : to - from, 0);
  return { first: reversed ? from - take + 1 : from, take, every, reversed };
}

/** What is wanted of those `take` items. */
export function picked<T>(items: readonly T[], { every, reversed }: Slice): readonly T[] {
  const ordered = reversed ? items.toReversed() : items;
  return ordered.filter((_item, index) => index % every === 0);
}
