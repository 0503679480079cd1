// @ts-check
// The page for whoever runs the server: asks again and again, and says what it was told.
import { html, render, useEffect, useState } from "../shared/dom.js";
import { Header } from "../shared/header.js";
import { ask, loadSettings, refusal } from "../shared/session.js";
import { SignIn } from "../shared/signin.js";
import { T } from "../shared/strings.js";
import { read } from "./prometheus.js";
import { Figures, Pill } from "./figures.js";

const EVERY_MS = 2000;
// Rates are over at most this long, so that they follow what happens.
const WINDOW_S = 30;

/** @typedef {{ looks: import("./prometheus.js").Look[], endpoint: any, problem: string }} Seen */

/** @param {Seen} before @param {string} name @returns {Promise<Seen>} */
async function look(before, name) {
  try {
    const [metrics, endpoint] = await Promise.all([ask("metrics"), ask(`endpoints/${name}`)]);
    if (!metrics.ok || !endpoint.ok) return { ...before, problem: T.figures.refusedFigures };
    const now = read(await metrics.text(), performance.now() / 1000);
    const started = before.looks.at(-1);
    const anew = started && total(now) < total(started);
    const looks = [...(anew ? [] : before.looks), now];
    while (looks.length > 2 && now.at - looks[0].at > WINDOW_S) looks.shift();
    return { looks, endpoint: await endpoint.json(), problem: "" };
  } catch {
    return { ...before, problem: T.figures.away };
  }
}

/** @param {import("./prometheus.js").Look} seen */
function total(seen) {
  return seen.samples.reduce((sum, one) => sum + (one.name === "springboard_requests_total" ? one.value : 0), 0);
}

/** @param {{ first: Settings }} props */
function Page({ first }) {
  const [settings, setSettings] = useState(first);
  const [seen, setSeen] = useState(/** @type {Seen} */ ({ looks: [], endpoint: null, problem: "" }));
  const may = settings.signed_in && settings.status && settings.endpoint;
  useEffect(() => {
    if (!may) return undefined;
    let [current, going] = [seen, true];
    const again = async () => {
      while (going) {
        current = await look(current, settings.endpoint ?? "");
        if (going) setSeen(current);
        await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      }
    };
    void again();
    return () => {
      going = false;
    };
  }, [may]);
  return html`<${Header} settings=${settings} here="status" onSettings=${setSettings} />
    <main id="main" tabindex="-1">
      ${!settings.signed_in && html`<${SignIn} settings=${settings} onSettings=${setSettings} />`}
      ${settings.signed_in &&
      html`<div class="row spread"><h1>${settings.endpoint}</h1>${may && seen.endpoint && html`<${Pill} endpoint=${seen.endpoint} />`}</div>`}
      ${settings.signed_in && !settings.status && html`<p class="card">${T.figures.notYours}</p>`}
      ${may && seen.problem && html`<p class="banner" role="alert">${seen.problem}</p>`}
      ${may && seen.endpoint && html`<${Figures} looks=${seen.looks} endpoint=${seen.endpoint} />`}
    </main>`;
}

const root = /** @type {HTMLElement} */ (document.getElementById("app"));
const settings = await loadSettings();
root.replaceChildren();
if (settings) render(html`<${Page} first=${settings} />`, root);
else root.textContent = refusal || T.away;
