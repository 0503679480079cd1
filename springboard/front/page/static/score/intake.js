// @ts-check
// The ways in: chosen, recorded, dropped, pasted, or an address in S3.
import { html, useEffect, useRef, useState } from "../shared/dom.js";
import { T } from "../shared/strings.js";
import { Samples } from "./samples.js";

const ACCEPT = "video/*,.avi,.mkv,.mov,.mp4,.mts,.m2ts,.ts,.webm,.wmv,.flv,.mpg";
const S3 = /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\/.+$/;

/**
 * @param {{ settings: Settings, first: boolean, onVideo: (video: File, truth: number | null) => void,
 *   onS3: (address: string) => void, pin: string | null, onPin: (variant: string | null) => void }} props
 */
export function Intake({ settings, first, onVideo, onS3, pin, onPin }) {
  const over = useDropAndPaste(onVideo, settings.s3 ? onS3 : null);
  const chosen = useRef(/** @type {HTMLInputElement | null} */ (null));
  const recorded = useRef(/** @type {HTMLInputElement | null} */ (null));

  /** @param {Event} event */
  const onChange = (event) => {
    const input = /** @type {HTMLInputElement} */ (event.currentTarget);
    for (const file of input.files ?? []) onVideo(file, null);
    input.value = "";
  };
  return html`<section class=${`intake ${first ? "first" : ""} ${over ? "over" : ""}`} aria-labelledby="intake-title">
    <h1 id="intake-title">${first ? T.intake.title : T.intake.more}</h1>
    ${first && html`<p class="lead">${T.intake.lead}</p>`}
    <div class="ways">
      <input ref=${chosen} class="hidden" type="file" multiple accept=${ACCEPT} onChange=${onChange}
        tabindex="-1" aria-label=${T.intake.choose} />
      <input ref=${recorded} class="hidden" type="file" accept="video/*" capture="environment" onChange=${onChange}
        tabindex="-1" aria-label=${T.intake.record} />
      <button type="button" class="primary" onClick=${() => chosen.current?.click()}>${T.intake.choose}</button>
      <button type="button" class="touch" onClick=${() => recorded.current?.click()}>${T.intake.record}</button>
      <span class="muted">${over ? T.intake.drop : T.intake.or}. ${T.intake.limit(settings.max_body_bytes)}</span>
    </div>
    <div class="ways discreet">
      ${settings.s3 && html`<${FromS3} onS3=${onS3} />`}
      ${(settings.variants?.length ?? 0) > 1 &&
      html`<${Variants} variants=${settings.variants} pin=${pin} onPin=${onPin} />`}
    </div>
    ${first && html`<${Samples} onVideo=${onVideo} />`}
  </section>`;
}

/** @param {{ onS3: (address: string) => void }} props */
function FromS3({ onS3 }) {
  const [wrong, setWrong] = useState(false);
  /** @param {SubmitEvent} event */
  const onSubmit = (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const address = String(new FormData(form).get("address") ?? "").trim();
    setWrong(!S3.test(address));
    if (!S3.test(address)) return;
    onS3(address);
    form.reset();
  };
  return html`<details class="s3">
    <summary>${T.intake.s3}</summary>
    <form class="row" onSubmit=${onSubmit}>
      <input name="address" aria-label=${T.intake.s3Label} placeholder="s3://bucket/dive.mp4" spellcheck=${false}
        autocomplete="off" aria-invalid=${wrong ? "true" : "false"} aria-describedby="s3-wrong" />
      <button>${T.intake.s3Button}</button>
    </form>
    <p id="s3-wrong" class="problem" role="alert">${wrong ? T.intake.s3Wrong : ""}</p>
  </details>`;
}

/** @param {{ variants: string[], pin: string | null, onPin: (variant: string | null) => void }} props */
function Variants({ variants, pin, onPin }) {
  /** @param {Event} event */
  const onChange = (event) => onPin(/** @type {HTMLSelectElement} */ (event.currentTarget).value || null);
  return html`<label class="inline">${T.intake.variant}
    <select value=${pin ?? ""} onChange=${onChange}>
      <option value="">${T.intake.byWeights}</option>
      ${variants.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
    </select>
  </label>`;
}

/**
 * Take what is dropped on the page or pasted; whether something is held over it.
 * @param {(video: File, truth: null) => void} onVideo @param {((address: string) => void) | null} onS3
 */
function useDropAndPaste(onVideo, onS3) {
  const [over, setOver] = useState(false);
  const take = useRef({ onVideo, onS3 });
  take.current = { onVideo, onS3 };
  useEffect(() => {
    /** @param {DataTransfer | null} data @returns {boolean} */
    const taken = (data) => {
      const files = Array.from(data?.files ?? []);
      for (const file of files) take.current.onVideo(file, null);
      const text = files.length ? "" : (data?.getData("text/plain").trim() ?? "");
      if (take.current.onS3 && S3.test(text)) take.current.onS3(text);
      return files.length > 0 || S3.test(text);
    };
    /** @param {DragEvent} event */
    const onDrag = (event) => {
      event.preventDefault();
      setOver(event.type === "dragover");
      if (event.type === "drop") taken(event.dataTransfer);
    };
    /** @param {ClipboardEvent} event */
    const onPaste = (event) => {
      const typing = event.target instanceof Element && event.target.closest("input, textarea");
      if (!typing && taken(event.clipboardData)) event.preventDefault();
    };
    const kinds = /** @type {const} */ (["dragover", "dragleave", "drop"]);
    for (const kind of kinds) addEventListener(kind, onDrag);
    addEventListener("paste", onPaste);
    return () => {
      for (const kind of kinds) removeEventListener(kind, onDrag);
      removeEventListener("paste", onPaste);
    };
  }, []);
  return over;
}
