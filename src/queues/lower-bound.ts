/** The first whole number from `low` on, at most `high`, that is not below what is looked for: `isBelow` holds for all
 *  before it and for none after. */
export function lowerBound(low: number, high: number, isBelow: (at: number) => boolean): number {
  let from = low;
  let to = high;
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    if (isBelow(middle)) from = middle + 1;
    else to = middle;
  }
  return from;
}
