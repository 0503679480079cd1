// @ts-check
// One request for a score: sent with its progress, answered or failed; and how far it is meanwhile.
import { ask, credentials } from "../shared/session.js";

/**
 * @typedef {object} Reply
 * @property {number} status 0 where no answer came
 * @property {any} body
 * @property {string} requestId
 * @property {string} variant
 * @property {Record<string, number>} stages in milliseconds
 * @property {number} retryAfter in seconds, 0 where nothing is said
 */

/**
 * Send a video. `sent` hears of bytes, `arrived` when all are there.
 * @param {{ body: Blob | string, id: string, pin: string | null, sent: (n: number) => void, arrived: () => void }} what
 * @returns {{ reply: Promise<Reply>, abort: () => void }}
 */
export function send({ body, id, pin, sent, arrived }) {
  const request = new XMLHttpRequest(); // fetch tells nothing of an upload's progress
  const reply = new Promise((/** @type {(reply: Reply) => void} */ resolve) => {
    request.upload.onprogress = (event) => sent(event.loaded);
    request.upload.onload = arrived;
    request.onload = () => resolve(read(request));
    request.onerror = () => resolve(read(request));
  });
  request.open("POST", "invocations");
  const headers = {
    ...credentials(),
    "Content-Type": typeof body === "string" ? "application/json" : "application/octet-stream",
    "X-Amzn-SageMaker-Inference-Id": id,
    "X-Springboard-Include": "strip",
    ...(pin ? { "X-Amzn-SageMaker-Target-Variant": pin } : {}),
  };
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.send(body);
  return { reply, abort: () => request.abort() };
}

/** @param {XMLHttpRequest} request @returns {Reply} */
function read(request) {
  const header = (/** @type {string} */ name) => request.getResponseHeader(name) ?? "";
  let body = null;
  try {
    body = JSON.parse(request.responseText);
  } catch {
    // A proxy's page, or nothing: the status has to do.
  }
  return {
    status: request.status,
    body,
    requestId: header("x-amzn-RequestId"),
    variant: header("x-Amzn-Invoked-Production-Variant"),
    stages: stagesOf(header("Server-Timing")),
    retryAfter: Number(header("Retry-After")) || 0,
  };
}

/** @param {string} timing @returns {Record<string, number>} */
export function stagesOf(timing) {
  const found = timing.matchAll(/([\w-]+);dur=([\d.]+)/g);
  return Object.fromEntries(Array.from(found, ([, stage, spent]) => [stage, Number(spent)]));
}

/** @param {Reply} reply @returns {Failure} */
export function failureOf(reply) {
  if (!reply.status) return { code: navigator.onLine ? "gone" : "offline", status: 0, message: "", details: {} };
  const { code = "", message = "", ...details } = reply.body?.error ?? {};
  return { code: String(code), status: reply.status, message: String(message), details };
}

/**
 * Ask how far a request is.
 * @param {string} endpoint @param {string} id
 * @returns {Promise<{ state: "absent" | "waiting" | "at_work", before: number } | null>}
 */
export async function placeOf(endpoint, id) {
  try {
    const answer = await ask(`endpoints/${endpoint}/requests/${id}`);
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}
