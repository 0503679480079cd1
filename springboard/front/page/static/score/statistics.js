// @ts-check

/** Ranks from 1; equals share the mean of theirs. @param {number[]} values */
function ranks(values) {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  /** @type {number[]} */
  const found = new Array(values.length);
  for (let first = 0; first < order.length; ) {
    let end = first;
    while (end < order.length && values[order[end]] === values[order[first]]) end += 1;
    for (let i = first; i < end; i += 1) found[order[i]] = (first + end + 1) / 2;
    first = end;
  }
  return found;
}

/** Spearman's rank correlation: Pearson's of the ranks; null where it is not defined. @param {[number, number][]} pairs */
export function rankCorrelation(pairs) {
  const [a, b] = [ranks(pairs.map(([x]) => x)), ranks(pairs.map(([, y]) => y))];
  const mean = (pairs.length + 1) / 2;
  let [both, one, other] = [0, 0, 0];
  for (let i = 0; i < pairs.length; i += 1) {
    both += (a[i] - mean) * (b[i] - mean);
    one += (a[i] - mean) ** 2;
    other += (b[i] - mean) ** 2;
  }
  return one && other ? both / Math.sqrt(one * other) : null;
}

/** Scores and true scores of what has both. @param {Dive[]} dives @returns {[number, number][]} */
export function pairs(dives) {
  return dives.flatMap((dive) =>
    dive.answer && dive.truth !== null ? [/** @type {[number, number]} */ ([dive.answer.score, dive.truth])] : [],
  );
}

/** Mean of how far scores are off, without sign. @param {[number, number][]} found */
export function meanError(found) {
  return found.reduce((sum, [score, truth]) => sum + Math.abs(score - truth), 0) / found.length;
}
