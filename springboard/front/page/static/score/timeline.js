// @ts-check
// One bar a clip, as high as its share of the score; and below it what the network saw.
import { html } from "../shared/dom.js";
import { T } from "../shared/strings.js";
import { points } from "./words.js";

/** The clip that plays at a time. @param {Clip[]} clips @param {number} seconds */
export function clipAt(clips, seconds) {
  const at = clips.findIndex((clip) => seconds < clip.end_s);
  return at < 0 ? clips.length - 1 : at;
}

/** @param {Strip} strip */
export function pictureOf(strip) {
  // The type is ours, not the answer's: whatever it says, this is a picture or nothing.
  return `data:image/jpeg;base64,${strip.data.replace(/[^A-Za-z0-9+/=]/g, "")}`;
}

/** @param {{ answer: Answer, at: number, onClip: (clip: number) => void }} props */
export function Timeline({ answer, at, onClip }) {
  const { clips, strip } = answer;
  const highest = Math.max(...clips.map((clip) => Math.abs(clip.contribution)), 1e-9);
  const now = clips[at];
  return html`<figure class="timeline" dir="ltr">
    <figcaption>
      <span>${T.timeline.title}</span>
      ${now &&
      html`<span class="muted">${T.timeline.now(at + 1, clips.length)}: <b>${points(now.contribution)}</b></span>`}
    </figcaption>
    <div class="bars" role="group" aria-label=${T.timeline.title}>
      ${clips.map(
        (clip, i) => html`<button
          key=${i}
          type="button"
          class=${`bar ${clip.contribution < 0 ? "below" : ""}`}
          aria-current=${i === at ? "true" : "false"}
          aria-label=${T.timeline.bar(i + 1, clip.start_s.toFixed(2), clip.end_s.toFixed(2), points(clip.contribution))}
          title=${points(clip.contribution)}
          data-contribution=${clip.contribution}
          onClick=${() => onClip(i)}
        >
          <span style=${{ blockSize: `${Math.max(3, (100 * Math.abs(clip.contribution)) / highest)}%` }}></span>
        </button>`,
      )}
    </div>
    ${strip && html`<img class="strip" src=${pictureOf(strip)} alt=${T.timeline.strip} title=${T.timeline.strip} />`}
  </figure>`;
}
