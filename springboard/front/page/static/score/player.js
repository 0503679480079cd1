// @ts-check
// The video; where the browser cannot play it, or it is no longer here, the frames that were scored.
import { html, useEffect, useState } from "../shared/dom.js";
import { T } from "../shared/strings.js";
import { pictureOf } from "./timeline.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @param {{ dive: Dive, address: string, at: number, player: { current: HTMLVideoElement | null },
 *   onTime: (seconds: number) => void }} props
 */
export function Player({ dive, address, at, player, onTime }) {
  const [plays, setPlays] = useState(true);
  useEffect(() => setPlays(true), [address]);
  useEffect(() => follow(player.current, onTime), [address, plays]);

  if (!address || !plays) {
    return html`<${Stills} dive=${dive} at=${at} unplayable=${address !== ""} />`;
  }
  /** @param {Event} event */
  const onMetadata = (event) => {
    // A sound track alone is no picture: its video is of a kind that this browser does not know.
    if (!(/** @type {HTMLVideoElement} */ (event.currentTarget).videoWidth)) setPlays(false);
  };
  return html`<div class="player">
    <video
      ref=${player} src=${address} aria-label=${T.player.label(dive.name)} controls muted playsinline loop
      autoplay=${!still.matches && !dive.answer}
      onError=${() => setPlays(false)} onLoadedMetadata=${onMetadata}
    ></video>
  </div>`;
}

/** @param {{ dive: Dive, at: number, unplayable: boolean }} props */
function Stills({ dive, at, unplayable }) {
  const { answer, failure } = dive;
  if (answer?.strip) {
    return html`<div class="player">
      <${Tile} strip=${answer.strip} clips=${answer.clips.length} at=${at} />
      <p class="muted small-text">${unplayable ? T.player.unplayable : T.player.gone}</p>
    </div>`;
  }
  // Where the gate refused it: all that it saw.
  const refused = /** @type {Strip | undefined} */ (failure?.details.strip);
  return html`<div class="player">
    ${refused
      ? html`<img class="strip refused" src=${pictureOf(refused)} alt=${T.timeline.strip} />
          <p class="muted small-text">${T.timeline.strip}.</p>`
      : html`<p class="tile empty muted">${unplayable && dive.state !== "failed" ? T.player.waiting : T.player.nothing}</p>`}
  </div>`;
}

/** @param {{ strip: Strip, clips: number, at: number }} props */
function Tile({ strip, clips, at }) {
  const place = clips > 1 ? (100 * at) / (clips - 1) : 0;
  const style = {
    backgroundImage: `url("${pictureOf(strip)}")`,
    backgroundSize: `${100 * clips}% 100%`,
    backgroundPosition: `${place}% 0`,
  };
  return html`<div class="tile" role="img" aria-label=${T.player.frame(at + 1)} style=${style}></div>`;
}

/**
 * Tell where a video is, with each frame while it plays.
 * @param {HTMLVideoElement | null} video @param {(seconds: number) => void} onTime
 */
function follow(video, onTime) {
  if (!video) return undefined;
  let frame = 0;
  const tell = () => onTime(video.currentTime);
  const tick = () => {
    tell();
    frame = requestAnimationFrame(tick);
  };
  const begin = () => {
    cancelAnimationFrame(frame);
    tick();
  };
  const end = () => cancelAnimationFrame(frame);
  video.addEventListener("play", begin);
  video.addEventListener("pause", end);
  video.addEventListener("seeked", tell);
  return () => {
    end();
    video.removeEventListener("play", begin);
    video.removeEventListener("pause", end);
    video.removeEventListener("seeked", tell);
  };
}
