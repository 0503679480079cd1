// @ts-check
import { html } from "../shared/dom.js";
import { FAILURES, T } from "../shared/strings.js";
import { quantile, rate, total, totals } from "./prometheus.js";

const F = T.figures;

/** @param {number | null} s */
const seconds = (s) => (s === null ? T.none : s < 1 ? `${(s * 1000).toFixed(0)} ms` : `${s.toFixed(1)} s`);
/** @param {number} part @param {number} whole */
const share = (part, whole) => (whole > 1e-9 ? `${Math.round((100 * part) / whole)} %` : T.none);
/** @param {number} n */
const perSecond = (n) => `${n.toFixed(n < 10 ? 1 : 0)}/s`;

/** @typedef {{ looks: import("./prometheus.js").Look[], endpoint: any }} Props */

/** @param {{ endpoint: any }} props */
export function Pill({ endpoint }) {
  return html`<span class="pill" data-status=${endpoint.status}>${F.statuses[endpoint.status] ?? endpoint.status}</span>`;
}

/** @param {Props} props */
export function Figures({ looks, endpoint }) {
  return html`${endpoint.reason && html`<p class="problem">${endpoint.reason}</p>`}
    <${Tiles} looks=${looks} endpoint=${endpoint} />
    <${Canary} looks=${looks} endpoint=${endpoint} />
    <${Variants} looks=${looks} endpoint=${endpoint} />
    <div class="halves">
      <${Refusals} looks=${looks} />
      <${LastErrors} errors=${endpoint.last_errors} />
    </div>`;
}

/** @param {Props} props */
function Tiles({ looks, endpoint }) {
  const all = rate(looks, "springboard_requests_total");
  const by = (/** @type {string} */ outcome) => rate(looks, "springboard_requests_total", { outcome });
  const duration = "springboard_request_duration_seconds";
  const { queue } = endpoint;
  const tiles = [
    [F.requests, perSecond(all), ""],
    [F.failed, share(by("failed"), all), by("failed") > 0 ? "bad" : ""],
    [F.refused, share(by("refused"), all), ""],
    [F.p50, seconds(quantile(looks, 0.5, duration)), ""],
    [F.p95, seconds(quantile(looks, 0.95, duration)), ""],
    [F.atWork, String(queue.in_flight), ""],
    [F.waiting, String(queue.queued), ""],
    [F.held, `${T.size(queue.held_bytes)}`, ""],
  ];
  return html`<dl class="tiles">
    ${tiles.map(([name, value, kind]) => html`<div key=${name} class=${`card ${kind}`}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** @param {Props} props */
function Variants({ looks, endpoint }) {
  const rows = [...endpoint.variants, ...(endpoint.shadow ? [endpoint.shadow] : [])];
  return html`<section aria-labelledby="variants">
    <h2 id="variants">${F.variants}</h2>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="variants"><table>
      <thead><tr>${F.variantHeads.map((head, i) => html`<th key=${head} scope="col" class=${i > 1 ? "number" : ""}>${head}</th>`)}</tr></thead>
      <tbody>${rows.map((one) => html`<${Variant} key=${one.name + one.release} one=${one} looks=${looks} shadow=${one === endpoint.shadow} />`)}</tbody>
    </table></div>
  </section>`;
}

/** @param {{ one: any, looks: import("./prometheus.js").Look[], shadow: boolean }} props */
function Variant({ one, looks, shadow }) {
  const labels = { variant: one.name, release: one.release };
  const duration = "springboard_attempt_duration_seconds";
  const all = rate(looks, "springboard_attempts_total", labels);
  const failed = all - rate(looks, "springboard_attempts_total", { ...labels, outcome: "answered" });
  const last = looks[looks.length - 1];
  const scored = total(last, "springboard_score_points_count", labels);
  const { ready, total: workers, reason } = one.workers;
  return html`<tr>
    <th scope="row">${one.name}</th>
    <td>${one.release}${reason ? html`<br /><span class="muted small-text">${reason}</span>` : ""}</td>
    <td class="number">${shadow ? T.none : share(one.share, 1)}</td>
    <td class=${`number ${ready < workers || !workers ? "bad" : ""}`}>${ready} / ${workers}</td>
    <td class="number">${one.in_flight}</td>
    <td class="number">${one.queued}</td>
    <td class="number">${perSecond(all)}</td>
    <td class="number">${share(Math.max(0, failed), all)}</td>
    <td class="number">${seconds(quantile(looks, 0.5, duration, labels))}</td>
    <td class="number">${seconds(quantile(looks, 0.95, duration, labels))}</td>
    <td class="number">${scored ? (total(last, "springboard_score_points_sum", labels) / scored).toFixed(1) : T.none}</td>
  </tr>`;
}

/** A release on trial beside the one that it may replace. @param {Props} props */
function Canary({ looks, endpoint }) {
  const canary = endpoint.variants.find((/** @type {any} */ one) => one.name === "canary" && one.weight > 0);
  if (!canary || endpoint.variants.length < 2) return null;
  const last = looks[looks.length - 1];
  const tried = (/** @type {any} */ one) => {
    const labels = { variant: one.name, release: one.release };
    const all = total(last, "springboard_first_attempts_total", labels);
    const good = total(last, "springboard_first_attempts_total", { ...labels, outcome: "scored" });
    return F.tried(one.name, one.release, share(one.share, 1), all, all - good);
  };
  return html`<section class="card canary" aria-labelledby="canary">
    <h2 id="canary">${F.canary(canary.release)}</h2>
    ${endpoint.variants.map((/** @type {any} */ one) => html`<p key=${one.name}>${tried(one)}</p>`)}
  </section>`;
}

/** @param {{ looks: import("./prometheus.js").Look[] }} props */
function Refusals({ looks }) {
  const [first, last] = [looks[0], looks[looks.length - 1]];
  const before = totals(first, "springboard_refused_total", "code").set(
    "not_a_dive", total(first, "springboard_gate_refusals_total"),
  );
  const gate = total(last, "springboard_gate_refusals_total");
  // The model's own refusals are not the front's; the gate's are counted by themselves.
  const all = totals(last, "springboard_refused_total", "code").set("not_a_dive", gate);
  const codes = Array.from(all).filter(([, n]) => n > 0);
  codes.sort((a, b) => b[1] - a[1]);
  return html`<section aria-labelledby="refusals"><h2 id="refusals">${F.refusals}</h2>
    ${codes.length === 0
      ? html`<p class="muted">${F.noRefusals}</p>`
      : html`<table><thead><tr>${F.refusalHeads.map((head, i) => html`<th key=${head} scope="col" class=${i ? "number" : ""}>${head}</th>`)}</tr></thead>
        <tbody>${codes.map(
          ([code, n]) => html`<tr key=${code}><th scope="row"><code>${code}</code> <span class="muted">${FAILURES[code]?.[0] ?? ""}</span></th>
            <td class="number">${n}</td><td class="number">${n - (before.get(code) ?? 0)}</td></tr>`,
        )}</tbody></table>`}
  </section>`;
}

/** @param {{ errors: any[] }} props */
function LastErrors({ errors }) {
  return html`<section aria-labelledby="last-errors"><h2 id="last-errors">${F.lastErrors}</h2>
    ${errors.length === 0
      ? html`<p class="muted">${F.noErrors}</p>`
      : html`<ul class="errors">${errors.map(
          (one) => html`<li key=${one.request_id}>
            <time datetime=${new Date(one.at * 1000).toISOString()}>${new Date(one.at * 1000).toLocaleTimeString("en-GB")}</time>
            <span><code>${one.status} ${one.code}</code> ${one.variant}<br /><code class="muted">${one.request_id}</code></span>
          </li>`,
        )}</ul>`}
  </section>`;
}
