/** Numbers that stand a noisy machine: medians, and two candidates that take turns. */

export function median(values) {
  return quantile(values, 0.5);
}

/** @param {number} share 0 to 1; 1 is the largest. Interpolates between neighbours. */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - below);
}

/** Runs every candidate once per round, one after the other (A B B A A B …), so that a slow minute of the machine meets
 *  all of them, and none is always the one that runs behind another.
 *  @param {Record<string, (round: number) => Promise<T>>} candidates
 *  @returns {Promise<Record<string, T[]>>}
 *  @template T */
export async function alternate(rounds, candidates) {
  const results = Object.fromEntries(Object.keys(candidates).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const turns = Object.entries(candidates);
    if (round % 2 === 1) turns.reverse();
    for (const [name, run] of turns) results[name].push(await run(round));
  }
  return results;
}

/** The median of the ratios within each round: what both shared in a round cancels out. */
export function pairedRatio(ours, theirs) {
  return median(ours.map((value, round) => value / theirs[round]));
}

export function pairedDifference(ours, theirs) {
  return median(ours.map((value, round) => value - theirs[round]));
}
