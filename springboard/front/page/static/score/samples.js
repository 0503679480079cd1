// @ts-check
import { html, useState } from "../shared/dom.js";
import { T } from "../shared/strings.js";

/** The demo's clips, and what they were drawn to score. */
const SAMPLES = /** @type {const} */ ([
  { key: "good", file: "good-dive.mp4", truth: 88 },
  { key: "poor", file: "poor-dive.mp4", truth: 24 },
  { key: "other", file: "not-a-dive.mp4", truth: null },
]);

/** One click each. @param {{ onVideo: (video: File, truth: number | null) => void }} props */
export function Samples({ onVideo }) {
  const [away, setAway] = useState(false);
  /** @param {typeof SAMPLES[number]} sample */
  const load = async ({ file, truth }) => {
    try {
      const answer = await fetch(new URL(`../samples/${file}`, import.meta.url));
      if (!answer.ok) throw new Error(String(answer.status));
      onVideo(new File([await answer.blob()], file, { type: "video/mp4" }), truth);
      setAway(false);
    } catch {
      setAway(true);
    }
  };
  return html`<div class="samples" role="group" aria-labelledby="samples-title">
    <h2 id="samples-title">${T.samples.title}</h2>
    <ul>
      ${SAMPLES.map(
        (sample) => html`<li key=${sample.key}>
          <button type="button" class="sample" data-sample=${sample.key} onClick=${() => load(sample)}>
            <strong>${T.samples[sample.key].title}</strong>
            <span>${T.samples[sample.key].text}</span>
          </button>
        </li>`,
      )}
    </ul>
    <p class="muted small-text">${T.samples.about}</p>
    ${away && html`<p class="problem" role="alert">${T.samples.away}</p>`}
  </div>`;
}
