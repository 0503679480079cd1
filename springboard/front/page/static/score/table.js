// @ts-check
// All dives, sorted as wanted; what is done with several.
import { html, useEffect, useState } from "../shared/dom.js";
import { T } from "../shared/strings.js";
import { asCsv, asJson, download } from "./exports.js";
import * as history from "./history.js";
import { stateOf } from "./progress.js";
import * as runner from "./runner.js";
import { meanError, pairs, rankCorrelation } from "./statistics.js";
import * as store from "./store.js";
import { points } from "./words.js";

/** What each column sorts by. @type {Record<string, (dive: Dive) => string | number>} */
const KEYS = {
  name: (dive) => dive.name.toLowerCase(),
  score: (dive) => dive.answer?.score ?? -Infinity,
  truth: (dive) => dive.truth ?? -Infinity,
  off: (dive) => (dive.answer && dive.truth !== null ? dive.answer.score - dive.truth : -Infinity),
  dive: (dive) => dive.answer?.dive?.number ?? "",
  variant: (dive) => dive.variant,
  added: (dive) => dive.added,
  note: (dive) => dive.note,
};
const NUMBERS = new Set(["score", "truth", "off"]);

/** @param {Dive[]} dives @param {string} by @param {number} way 1 or -1 */
export function sorted(dives, by, way) {
  const key = KEYS[by];
  return [...dives].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    return x === y ? 0 : way * (x < y ? -1 : 1);
  });
}

/**
 * @param {{ dives: Dive[], selected: string, onSelect: (id: string) => void, onCompare: (ids: [string, string]) => void }} props
 */
export function Table({ dives, selected, onSelect, onCompare }) {
  const [order, setOrder] = useState({ by: "added", way: -1 });
  const [chosen, setChosen] = useState(/** @type {string[]} */ ([]));
  const shown = sorted(dives, order.by, order.way);
  const two = chosen.filter((id) => store.find(id));
  /** @param {string} by */
  const sort = (by) => setOrder({ by, way: order.by === by ? -order.way : NUMBERS.has(by) ? -1 : 1 });
  /** @param {string} id */
  const choose = (id) =>
    setChosen(two.includes(id) ? two.filter((other) => other !== id) : [...two.slice(-1), id]);
  return html`<section class="dives" id="dives" aria-labelledby="dives-title">
    <div class="row spread">
      <h2 id="dives-title">${T.table.title}</h2>
      <div class="row no-print">
        <button type="button" disabled=${two.length !== 2} onClick=${() => onCompare([two[0], two[1]])}>${T.table.compare}</button>
        <button type="button" onClick=${() => download("dives.csv", "text/csv", asCsv(shown))}>${T.table.csv}</button>
        <button type="button" onClick=${() => download("dives.json", "application/json", asJson(shown))}>${T.table.json}</button>
        <button type="button" onClick=${() => print()}>${T.table.print}</button>
      </div>
    </div>
    <${Summary} dives=${dives} />
    <div class="scroll" tabindex="0" role="group" aria-labelledby="dives-title">
      <table>
        <thead><tr><td class="no-print"></td>
          ${Object.entries(T.table.heads).map(
            ([by, head]) => html`<th key=${by} scope="col" class=${NUMBERS.has(by) ? "number" : ""}
              aria-sort=${order.by !== by ? "none" : order.way > 0 ? "ascending" : "descending"}>
              <button type="button" onClick=${() => sort(by)}>${head}</button>
            </th>`,
          )}
          <td class="no-print"></td>
        </tr></thead>
        <tbody>
          ${shown.map(
            (dive) => html`<${Row} key=${dive.id} dive=${dive} current=${dive.id === selected} chosen=${two.includes(dive.id)}
              onSelect=${onSelect} onChoose=${choose} />`,
          )}
        </tbody>
      </table>
    </div>
    <${Kept} dives=${dives} />
  </section>`;
}

/**
 * @param {{ dive: Dive, current: boolean, chosen: boolean, onSelect: (id: string) => void,
 *   onChoose: (id: string) => void }} props
 */
function Row({ dive, current, chosen, onSelect, onChoose }) {
  const { answer, truth } = dive;
  const remove = () => {
    runner.stop(dive.id);
    store.remove(dive.id);
  };
  return html`<tr aria-current=${current ? "true" : "false"} data-state=${dive.state}>
    <td class="no-print"><input type="checkbox" aria-label=${T.table.select(dive.name)} checked=${chosen}
      disabled=${!answer} onChange=${() => onChoose(dive.id)} /></td>
    <th scope="row"><button type="button" class="link" aria-label=${T.table.open(dive.name)}
      onClick=${() => onSelect(dive.id)}>${dive.name}</button></th>
    <td class=${answer ? "number" : "state"}>${answer ? points(answer.score) : stateOf(dive)}</td>
    <td class="number">${truth === null ? "" : points(truth)}</td>
    <td class="number">${answer && truth !== null ? points(answer.score - truth) : ""}</td>
    <td>${answer?.dive?.number ?? ""}</td>
    <td>${dive.variant}</td>
    <td><time datetime=${new Date(dive.added).toISOString()}>${new Date(dive.added).toLocaleString("en-GB", {
      dateStyle: "short", timeStyle: "short",
    })}</time></td>
    <td class="note-text">${dive.note}</td>
    <td class="no-print"><button type="button" class="small" aria-label=${`${T.remove} ${dive.name}`} onClick=${remove}>
      ${T.remove}</button></td>
  </tr>`;
}

/** @param {{ dives: Dive[] }} props */
function Summary({ dives }) {
  const known = pairs(dives);
  if (!known.length) return null;
  const rank = rankCorrelation(known);
  return html`<p class="summary">${T.table.summary(known.length, points(meanError(known)), rank === null ? T.none : points(rank))}</p>`;
}

/** @param {{ dives: Dive[] }} props */
function Kept({ dives }) {
  const [quota, setQuota] = useState(0);
  useEffect(() => void history.quota().then(setQuota), []);
  const used = dives.reduce((sum, dive) => sum + (dive.kept ? dive.bytes : 0), 0);
  const clear = () => {
    if (!confirm(T.table.clearSure)) return;
    for (const dive of dives) runner.stop(dive.id);
    store.clear();
  };
  return html`<div class="row spread no-print kept">
    <p class="muted small-text">${history.isKept() ? T.table.kept(used, quota) : T.table.notKept}</p>
    <button type="button" class="small" onClick=${clear}>${T.table.clear}</button>
  </div>`;
}
