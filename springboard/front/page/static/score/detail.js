// @ts-check
// One dive: its video, its score and where that comes from, and what people add to it.
import { Copy, html, useRef, useState } from "../shared/dom.js";
import { T } from "../shared/strings.js";
import { Player } from "./player.js";
import { isBusy, Progress } from "./progress.js";
import { Same } from "./same.js";
import * as store from "./store.js";
import { clipAt, Timeline } from "./timeline.js";
import { inWords, points } from "./words.js";

/**
 * @param {{ dive: Dive, settings: Settings, onCompare: (dive: Dive, variant: string) => void,
 *   player?: { current: HTMLVideoElement | null } }} props
 */
export function Detail({ dive, settings, onCompare, player }) {
  return html`<article class="detail card" aria-label=${dive.name} data-state=${dive.state}>
    <${Watched} key=${dive.id} dive=${dive} player=${player}>
      <${Name} dive=${dive} />
      ${dive.state === "scored"
        ? html`<${Scored} dive=${dive} /><${Own} dive=${dive} settings=${settings} onCompare=${onCompare} />`
        : html`<${Progress} dive=${dive} />`}
    <//>
    ${dive.state === "scored" && html`<${More} dive=${dive} settings=${settings} />`}
  </article>`;
}

/**
 * The player and the timeline, each following the other; beside them what is said.
 * @param {{ dive: Dive, player?: { current: HTMLVideoElement | null }, children: any }} props
 */
export function Watched({ dive, player, children }) {
  const own = useRef(/** @type {HTMLVideoElement | null} */ (null));
  const video = player ?? own;
  const [at, setAt] = useState(0);
  const { answer } = dive;
  const clips = answer?.clips ?? [];
  const seen = useRef(clips);
  seen.current = clips;
  /** @param {number} seconds */
  const onTime = (seconds) => setAt(Math.max(0, clipAt(seen.current, seconds)));
  /** @param {number} clip */
  const onClip = (clip) => {
    setAt(clip);
    if (video.current) video.current.currentTime = clips[clip].start_s;
  };
  return html`<div class="watched">
    <div>
      <${Player} dive=${dive} address=${store.addressOf(dive.id)} at=${at} player=${video} onTime=${onTime} />
      ${answer && html`<${Timeline} answer=${answer} at=${at} onClip=${onClip} />`}
    </div>
    <div class="said">${children}</div>
  </div>`;
}

/** @param {{ dive: Dive }} props */
function Name({ dive }) {
  /** @param {Event} event */
  const onChange = (event) => {
    const name = /** @type {HTMLInputElement} */ (event.currentTarget).value.trim();
    if (name) store.update(dive.id, { name });
  };
  return html`<label class="name"><span class="visually-hidden">${T.detail.name}</span>
    <input value=${dive.name} onChange=${onChange} disabled=${isBusy(dive)} spellcheck=${false} />
  </label>`;
}

/** @param {{ dive: Dive }} props */
export function Scored({ dive }) {
  const answer = /** @type {Answer} */ (dive.answer);
  return html`<div class="scored" aria-live="polite">
    <p class="score"><data value=${answer.score}>${points(answer.score)}</data> <span>${T.points}</span></p>
    <${Words} named=${answer.dive} />
    <${Truth} dive=${dive} />
    ${answer.warnings.length > 0 && html`<${Sentences} kind="warnings" title=${T.detail.warnings} all=${answer.warnings} />`}
  </div>`;
}

/** @param {{ named: NamedDive | null }} props */
function Words({ named }) {
  if (!named) return html`<p class="muted">${T.dive.unknown}</p>`;
  return html`<p class="words"><strong>${named.number ?? T.dive.unnamed}</strong>, ${inWords(named)}</p>
    <p class="muted small-text">${T.dive.sure(named.rotation.probability, named.position.probability)}</p>`;
}

/** @param {{ dive: Dive }} props */
function Truth({ dive }) {
  /** @param {Event} event */
  const onChange = (event) => {
    const { value, valueAsNumber } = /** @type {HTMLInputElement} */ (event.currentTarget);
    store.update(dive.id, { truth: value === "" || !Number.isFinite(valueAsNumber) ? null : valueAsNumber });
  };
  const off = dive.answer && dive.truth !== null ? dive.answer.score - dive.truth : null;
  return html`<label class="truth"><span>${T.detail.truth}</span>
    <input type="number" min="0" step="any" inputmode="decimal" value=${dive.truth ?? ""} onChange=${onChange} />
    ${off !== null && html`<span class="muted">${T.detail.off(off)}</span>`}
  </label>`;
}

/** @param {{ kind: string, title: string, all: string[] }} props */
function Sentences({ kind, title, all }) {
  return html`<div class=${kind}><h2>${title}</h2>
    <ul>${all.map((one) => html`<li key=${one}>${one}</li>`)}</ul></div>`;
}

/** @param {{ dive: Dive, settings: Settings, onCompare: (dive: Dive, variant: string) => void }} props */
function Own({ dive, settings, onCompare }) {
  const answer = /** @type {Answer} */ (dive.answer);
  /** @param {Event} event */
  const onNote = (event) =>
    store.update(dive.id, { note: /** @type {HTMLTextAreaElement} */ (event.currentTarget).value });
  const others = dive.s3 || store.videoOf(dive.id) ? (settings.variants ?? []).filter((one) => one !== dive.variant) : [];
  return html`<label class="note">${T.detail.note}
      <textarea rows="3" value=${dive.note} onChange=${onNote}></textarea>
    </label>
    ${answer.notes.length > 0 && html`<${Sentences} kind="notes" title=${T.detail.notes} all=${answer.notes} />`}
    ${others.length > 0 &&
    html`<div class="row no-print">
      ${others.map(
        (name) => html`<button key=${name} type="button" onClick=${() => onCompare(dive, name)}>${T.detail.with(name)}</button>`,
      )}
    </div>`}`;
}

/** @param {{ dive: Dive, settings: Settings }} props */
function More({ dive, settings }) {
  const answer = /** @type {Answer} */ (dive.answer);
  const stages = Object.entries(dive.stages).map(([name, spent]) => `${name} ${spent.toFixed(0)} ms`);
  return html`<div class="more">
    <details>
      <summary>${T.detail.more}</summary>
      <dl>
        <dt>${T.detail.release}</dt><dd>${answer.model.name} ${answer.model.version}</dd>
        <dt>${T.detail.variant}</dt><dd>${dive.variant || T.none}</dd>
        <dt>${T.detail.video}</dt><dd>${T.detail.videoText(answer.video)}</dd>
        <dt>${T.detail.stages}</dt><dd>${stages.join(", ") || T.none}</dd>
        <dt>${T.detail.request}</dt>
        <dd><code>${dive.requestId}</code> <${Copy} text=${dive.requestId} label=${T.detail.copyRequest} /></dd>
      </dl>
    </details>
    <${Same} dive=${dive} endpoint=${settings.endpoint ?? ""} />
  </div>`;
}
