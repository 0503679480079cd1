// @ts-check
// How far a dive is, and what is wrong with it.
import { html, useEffect, useState } from "../shared/dom.js";
import { FAILURES, T, UNKNOWN_FAILURE } from "../shared/strings.js";
import * as runner from "./runner.js";

const BUSY = new Set(["queued", "uploading", "waiting", "working", "retrying"]);

/** @param {Dive} dive */
export function isBusy(dive) {
  return BUSY.has(dive.state);
}

/** A dive's state in words. @param {Dive} dive */
export function stateOf(dive) {
  switch (dive.state) {
    case "uploading":
      return T.state.uploading(dive.sent, dive.bytes);
    case "waiting":
      return T.state.waiting(dive.before);
    case "retrying":
      return T.state.retrying(Math.max(0, Math.ceil((dive.retryAt - Date.now()) / 1000)));
    case "failed":
      return sentences(dive)[0];
    default:
      return T.state[dive.state];
  }
}

/** @param {Dive} dive */
function sentences(dive) {
  return FAILURES[dive.failure?.code ?? ""] ?? UNKNOWN_FAILURE;
}

/** @param {{ dive: Dive }} props */
export function Progress({ dive }) {
  const [, draw] = useState(0);
  useEffect(() => {
    if (dive.state !== "retrying") return undefined;
    const timer = setInterval(() => draw((/** @type {number} */ n) => n + 1), 500);
    return () => clearInterval(timer);
  }, [dive.state]);
  if (isBusy(dive)) {
    const share = dive.state === "uploading" && dive.bytes ? dive.sent / dive.bytes : null;
    return html`<div class="progress">
      <p role="status">${stateOf(dive)}</p>
      <progress max="1" value=${share ?? undefined} aria-label=${stateOf(dive)}></progress>
      <button type="button" onClick=${() => runner.stop(dive.id)}>${T.cancel}</button>
    </div>`;
  }
  return html`<${Failed} dive=${dive} />`;
}

/** @param {{ dive: Dive }} props */
function Failed({ dive }) {
  const { failure } = dive;
  const [title, what] = dive.state === "stopped" ? [T.state.stopped, T.stopped] : sentences(dive);
  return html`<div class="failed" role="alert" data-code=${failure?.code ?? dive.state}>
    <h2>${title}</h2>
    <p>${what}</p>
    ${failure?.details.gate && html`<p>${T.failures.gate(failure.details.gate)}</p>`}
    ${failure?.message && html`<p class="muted small-text">${T.failures.said}: ${failure.message}</p>`}
    <button type="button" onClick=${() => runner.again(dive.id)}>${T.again}</button>
  </div>`;
}
