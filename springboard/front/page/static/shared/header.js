// @ts-check
import { html } from "./dom.js";
import { hasToken, keepToken } from "./session.js";
import { T } from "./strings.js";

/**
 * @param {{ settings: Settings, here: "score" | "status", onSettings: (settings: Settings) => void }} props
 */
export function Header({ settings, here, onSettings }) {
  const signOut = () => {
    keepToken("");
    onSettings({ ...settings, signed_in: false });
  };
  return html`<a class="skip" href="#main">${T.skip}</a>
    <header>
      <a class="brand" href="./"><span aria-hidden="true"></span>${T.brand}</a>
      <nav aria-label=${T.pages}>
        <a href="./" aria-current=${here === "score" ? "page" : "false"}>${T.scorePage}</a>
        ${(settings.status || here === "status") &&
        html`<a href="status" aria-current=${here === "status" ? "page" : "false"}>${T.status}</a>`}
        ${settings.sign_in && settings.signed_in && hasToken() &&
        html`<button type="button" class="small" onClick=${signOut}>${T.signOut}</button>`}
      </nav>
    </header>`;
}
