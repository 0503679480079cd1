// @ts-check
// What every module draws with.
import { html, useState } from "../vendor/preact.js";
import { T } from "./strings.js";

export { html };
export { render, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";

/**
 * Copy a text, also where the page is not on https and browsers have no clipboard for it.
 * @param {string} text
 */
export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

/**
 * A button that copies a text and says so.
 * @param {{ text: string, label: string }} props
 */
export function Copy({ text, label }) {
  const [copied, setCopied] = useState(false);
  const onClick = async () => {
    await copy(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return html`<button type="button" class="small" aria-label=${label} onClick=${onClick}>
    ${copied ? T.copied : T.copy}
  </button>`;
}
