// @ts-check
// Two dives side by side; what one player does the other does too.
import { html, useEffect, useRef, useState } from "../shared/dom.js";
import { T } from "../shared/strings.js";
import { Scored, Watched } from "./detail.js";
import { Progress } from "./progress.js";
import { points } from "./words.js";

/** @param {{ dives: Dive[], onClose: () => void }} props */
export function Compare({ dives, onClose }) {
  const players = [
    useRef(/** @type {HTMLVideoElement | null} */ (null)),
    useRef(/** @type {HTMLVideoElement | null} */ (null)),
  ];
  const [playing, setPlaying] = useState(false);
  const title = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => title.current?.focus(), []);
  useEffect(() => linked(players[0].current, players[1].current, setPlaying));
  const [one, other] = dives.map((dive) => dive.answer?.score);
  const both = () => {
    const [first] = players;
    if (playing) first.current?.pause();
    else void first.current?.play();
  };
  return html`<section class="compare card" aria-labelledby="compare-title">
    <div class="row spread">
      <h2 id="compare-title" tabindex="-1" ref=${title}>${T.compare.title}</h2>
      <div class="row">
        ${one !== undefined && other !== undefined &&
        html`<span class="muted">${T.compare.difference(points(Math.abs(one - other)))}</span>`}
        <button type="button" onClick=${both}>${playing ? T.compare.pause : T.compare.play}</button>
        <button type="button" onClick=${onClose}>${T.compare.close}</button>
      </div>
    </div>
    <div class="pair">
      ${dives.map(
        (dive, i) => html`<article key=${dive.id} aria-label=${dive.name} data-state=${dive.state}>
          <${Watched} dive=${dive} player=${players[i]}>
            <h3>${dive.name}${dive.variant ? html` <small class="muted">${dive.variant} ${dive.answer?.model.version}</small>` : ""}</h3>
            ${dive.state === "scored" ? html`<${Scored} dive=${dive} />` : html`<${Progress} dive=${dive} />`}
          <//>
        </article>`,
      )}
    </div>
  </section>`;
}

/**
 * Have each player follow the other.
 * @param {HTMLVideoElement | null} a @param {HTMLVideoElement | null} b @param {(playing: boolean) => void} onPlaying
 */
function linked(a, b, onPlaying) {
  const pairs = [[a, b], [b, a]];
  /** @type {(() => void)[]} */
  const undo = [];
  for (const [leads, follows] of pairs) {
    if (!leads) continue;
    const act = (/** @type {Event} */ event) => {
      if (event.type !== "seeked") onPlaying(event.type === "play");
      if (!follows) return;
      // Only what is not so already: the follower's own event ends there.
      if (Math.abs(follows.currentTime - leads.currentTime) > 0.1) follows.currentTime = leads.currentTime;
      if (event.type === "play" && follows.paused) void follows.play();
      if (event.type === "pause" && !follows.paused) follows.pause();
    };
    for (const kind of ["play", "pause", "seeked"]) {
      leads.addEventListener(kind, act);
      undo.push(() => leads.removeEventListener(kind, act));
    }
  }
  return () => undo.forEach((one) => one());
}
