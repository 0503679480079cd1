// @ts-check
// What is in the table as files.
import { halves } from "./words.js";

const COLUMNS = [
  "name", "score", "true_score", "difference", "dive", "rotation", "position", "somersaults", "twists", "armstand",
  "variant", "release", "request_id", "added", "state", "error", "warnings", "note", "s3_uri",
];

/** @param {Dive} dive @returns {Record<string, unknown>} */
function row(dive) {
  const { answer, truth } = dive;
  const named = answer?.dive;
  return {
    name: dive.name,
    score: answer?.score,
    true_score: truth,
    difference: answer && truth !== null ? Number((answer.score - truth).toFixed(4)) : null,
    dive: named?.number,
    rotation: named?.rotation.label,
    position: named?.position.label,
    somersaults: named && halves(named.somersaults),
    twists: named && halves(named.twists),
    armstand: named?.armstand,
    variant: dive.variant,
    release: answer?.model.version,
    request_id: dive.requestId,
    added: new Date(dive.added).toISOString(),
    state: dive.state,
    error: dive.failure?.code,
    warnings: answer?.warnings.join(" "),
    note: dive.note,
    s3_uri: dive.s3,
  };
}

/** One field; a text that a spreadsheet would take for a formula is led by an apostrophe. @param {unknown} value */
function field(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {Dive[]} dives */
export function asCsv(dives) {
  const rows = dives.map((dive) => {
    const known = row(dive);
    return COLUMNS.map((name) => field(known[name])).join(",");
  });
  return [COLUMNS.join(","), ...rows, ""].join("\r\n");
}

/** Whole answers, without their pictures. @param {Dive[]} dives */
export function asJson(dives) {
  const all = dives.map((dive) => {
    const answer = dive.answer && { ...dive.answer };
    if (answer) delete answer.strip;
    return {
      name: dive.name,
      s3_uri: dive.s3,
      added: new Date(dive.added).toISOString(),
      true_score: dive.truth,
      note: dive.note,
      state: dive.state,
      variant: dive.variant,
      request_id: dive.requestId,
      answer,
      error: dive.failure && { code: dive.failure.code, message: dive.failure.message, ...dive.failure.details },
    };
  });
  return `${JSON.stringify(all, null, 1)}\n`;
}

/** @param {string} name @param {string} type @param {string} text */
export function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
