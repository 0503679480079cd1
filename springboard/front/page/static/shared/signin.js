// @ts-check
import { html, useState } from "./dom.js";
import { hasToken, keepToken, loadSettings } from "./session.js";
import { T } from "./strings.js";

/**
 * Asks for a token where this server wants one.
 * @param {{ settings: Settings, onSettings: (settings: Settings) => void }} props
 */
export function SignIn({ settings, onSettings }) {
  const [problem, setProblem] = useState(hasToken() ? T.signIn.refused : "");
  const [busy, setBusy] = useState(false);
  if (settings.sign_in === "sigv4") {
    return html`<section class="card narrow"><h1>${T.signIn.title}</h1><p>${T.signIn.signedOnly}</p></section>`;
  }

  /** @param {SubmitEvent} event */
  const onSubmit = async (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const token = String(new FormData(form).get("token") ?? "").trim();
    // Only what can stand in a header; the rest no server has issued.
    if (!/^[\x21-\x7e]+$/.test(token)) {
      setProblem(T.signIn.noToken);
      return;
    }
    setBusy(true);
    keepToken(token);
    const found = await loadSettings();
    setBusy(false);
    if (found?.signed_in) {
      onSettings(found);
    } else {
      keepToken("");
      setProblem(found ? T.signIn.refused : T.signIn.away);
    }
  };
  return html`<section class="card narrow">
    <h1>${T.signIn.title}</h1>
    <p class="muted">${T.signIn.why}</p>
    <form onSubmit=${onSubmit}>
      <label for="token">${T.signIn.label}</label>
      <input id="token" name="token" type="password" autocomplete="off" spellcheck=${false} required
        aria-invalid=${problem ? "true" : "false"} aria-describedby="token-problem" />
      <p id="token-problem" class="problem" role="alert">${problem}</p>
      <button class="primary" disabled=${busy}>${T.signIn.button}</button>
    </form>
  </section>`;
}
