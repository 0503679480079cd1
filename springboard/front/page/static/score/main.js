// @ts-check
// The page where a dive is scored: who may, what is there, what is shown.
import { html, render, useEffect, useRef, useState } from "../shared/dom.js";
import { Header } from "../shared/header.js";
import { loadSettings, refusal } from "../shared/session.js";
import { SignIn } from "../shared/signin.js";
import { T } from "../shared/strings.js";
import { Compare } from "./compare.js";
import { Detail } from "./detail.js";
import { Intake } from "./intake.js";
import * as runner from "./runner.js";
import * as store from "./store.js";
import { Table } from "./table.js";

/** @param {{ first: Settings }} props */
function Page({ first }) {
  const [settings, setSettings] = useState(first);
  const [selected, setSelected] = useState("");
  const [compared, setCompared] = useState(/** @type {string[]} */ ([]));
  const [pin, setPin] = useState(/** @type {string | null} */ (null));
  const dives = store.useDives();
  const now = useRef(settings);
  now.current = settings;
  useEffect(() => {
    runner.start(
      () => now.current,
      () => setSettings({ ...now.current, signed_in: false }),
    );
    runner.pump();
  }, []);

  /** @param {Dive} dive @param {Blob | null} video */
  const add = (dive, video) => {
    if (dive.bytes > settings.max_body_bytes) {
      dive.state = "failed";
      dive.failure = { code: "body_too_large", status: 0, message: T.intake.limit(settings.max_body_bytes), details: {} };
    }
    store.add(dive, video);
    setSelected(dive.id);
    runner.pump();
    return dive.id;
  };
  /** @param {File} video @param {number | null} truth */
  const onVideo = (video, truth) => add(store.newDive({ name: video.name, bytes: video.size, truth, pin }), video);
  /** @param {string} address */
  const onS3 = (address) => add(store.newDive({ name: address.split("/").pop() || address, s3: address, pin }), null);
  /** The same video by another variant, beside this one. @param {Dive} dive @param {string} variant */
  const onVariant = (dive, variant) => {
    const { name, bytes, s3, truth } = dive;
    const other = add(store.newDive({ name, bytes, s3, truth, pin: variant }), store.videoOf(dive.id));
    setCompared([dive.id, other]);
  };

  const gate = !settings.signed_in;
  const shown = dives.find((dive) => dive.id === selected) ?? dives[0];
  const pair = compared.map((id) => store.find(id)).filter((dive) => dive !== undefined);
  const demo = dives.find((dive) => dive.answer?.model.trained_on)?.answer?.model.trained_on;
  return html`<${Header} settings=${settings} here="score" onSettings=${setSettings} />
    <main id="main" tabindex="-1">
      ${demo && html`<p class="banner" role="note">${T.banner(demo)}</p>`}
      ${gate && html`<${SignIn} settings=${settings} onSettings=${setSettings} />`}
      ${!gate &&
      html`<${Intake} settings=${settings} first=${!dives.length} onVideo=${onVideo} onS3=${onS3} pin=${pin} onPin=${setPin} />`}
      ${pair.length === 2
        ? html`<${Compare} dives=${pair} onClose=${() => setCompared([])} />`
        : shown && html`<${Detail} key=${shown.id} dive=${shown} settings=${settings} onCompare=${onVariant} />`}
      ${dives.length > 0 &&
      html`<${Table} dives=${dives} selected=${shown?.id ?? ""} onSelect=${setSelected} onCompare=${setCompared} />`}
    </main>`;
}

const root = /** @type {HTMLElement} */ (document.getElementById("app"));
const settings = await loadSettings();
await store.restore();
root.replaceChildren();
if (settings) render(html`<${Page} first=${settings} />`, root);
else root.textContent = refusal || T.away;
