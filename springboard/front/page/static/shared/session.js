// @ts-check
// Who asks: a token of this tab alone, sent in a header and nowhere else.

const KEY = `springboard-token:${location.pathname.replace(/status$/, "")}`;
let held = "";
try {
  held = sessionStorage.getItem(KEY) ?? "";
} catch {
  // A browser that keeps nothing: the token lives as long as the page.
}

export function hasToken() {
  return held !== "";
}

/** @param {string} token */
export function keepToken(token) {
  held = token;
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // As above.
  }
}

/** @returns {Record<string, string>} */
export function credentials() {
  return held ? { Authorization: `Bearer ${held}` } : {};
}

/**
 * Ask this server with the tab's token.
 * @param {string} path relative to the page
 */
export function ask(path) {
  return fetch(path, { headers: credentials(), cache: "no-store", credentials: "omit", redirect: "error" });
}

/** What the server said when it gave no settings. */
export let refusal = "";

/** @returns {Promise<Settings | null>} null where there is no answer, or `refusal` */
export async function loadSettings() {
  try {
    const answer = await ask("page/settings");
    const told = await answer.json();
    refusal = answer.ok ? "" : String(told.error?.message ?? "");
    return answer.ok ? told : null;
  } catch {
    return null;
  }
}
