// @ts-check
// Prometheus' text format, read; and what is asked of it.

/** @typedef {{ name: string, labels: Record<string, string>, value: number }} Sample */
/** @typedef {{ at: number, samples: Sample[] }} Look */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** @param {string} text @param {number} at in seconds @returns {Look} */
export function read(text, at) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = LINE.exec(line);
    if (!found) continue;
    const labels = Object.fromEntries(
      Array.from((found[2] ?? "").matchAll(LABEL), ([, name, value]) => [
        name,
        value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c)),
      ]),
    );
    samples.push({ name: found[1], labels, value: found[3] === "+Inf" ? Infinity : Number(found[3]) });
  }
  return { at, samples };
}

/** @param {Look} look @param {string} name @param {Record<string, string>} labels */
function matching(look, name, labels) {
  const wanted = Object.entries(labels);
  return look.samples.filter((one) => one.name === name && wanted.every(([key, value]) => one.labels[key] === value));
}

/** Sum of a metric's samples with these labels. @param {Look} look @param {string} name @param {Record<string, string>} [labels] */
export function total(look, name, labels = {}) {
  return matching(look, name, labels).reduce((sum, one) => sum + one.value, 0);
}

/**
 * The same for each value of a label.
 * @param {Look} look @param {string} name @param {string} by @param {Record<string, string>} [labels]
 */
export function totals(look, name, by, labels = {}) {
  /** @type {Map<string, number>} */
  const sums = new Map();
  for (const { labels: has, value } of matching(look, name, labels)) {
    sums.set(has[by], (sums.get(has[by]) ?? 0) + value);
  }
  return sums;
}

/**
 * A counter's increase a second between two looks.
 * @param {Look[]} looks @param {string} name @param {Record<string, string>} [labels]
 */
export function rate(looks, name, labels = {}) {
  const [first, last] = [looks[0], looks[looks.length - 1]];
  return (total(last, name, labels) - total(first, name, labels)) / Math.max(last.at - first.at, 1e-9);
}

/**
 * A histogram's quantile between two looks, or since the start where nothing happened; null without observations.
 * @param {Look[]} looks @param {number} share @param {string} name @param {Record<string, string>} [labels]
 */
export function quantile(looks, share, name, labels = {}) {
  const buckets = (/** @type {Look} */ look) => totals(look, `${name}_bucket`, "le", labels);
  const [first, last] = [buckets(looks[0]), buckets(looks[looks.length - 1])];
  const recent = new Map(Array.from(last, ([le, n]) => [le, n - (first.get(le) ?? 0)]));
  return interpolated(share, recent) ?? interpolated(share, last);
}

/** As PromQL's histogram_quantile. @param {number} share @param {Map<string, number>} buckets cumulative, by upper bound */
export function interpolated(share, buckets) {
  const bound = (/** @type {string} */ le) => (le === "+Inf" ? Infinity : Number(le));
  const ordered = Array.from(buckets, ([le, n]) => /** @type {[number, number]} */ ([bound(le), n])).sort((a, b) => a[0] - b[0]);
  const all = ordered.at(-1)?.[1] ?? 0;
  if (!all) return null;
  let [low, below] = [0, 0];
  for (const [high, n] of ordered) {
    if (n >= share * all) {
      return high === Infinity ? low : low + ((high - low) * (share * all - below)) / Math.max(n - below, 1e-9);
    }
    [low, below] = [high, n];
  }
  return low;
}
