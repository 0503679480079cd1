// @ts-check
// Takes dives to their scores: a few at a time, with another try where the server is busy.
import { failureOf, placeOf, send } from "./api.js";
import * as store from "./store.js";

const AT_ONCE = 3;
const MOST_TRIES = 10;
const ASK_MS = 1000;

/** @type {Map<string, () => void>} */
const stops = new Map();
/** @type {() => Settings} */
let settings;
/** @type {() => void} */
let signInAgain;

/** @param {() => Settings} now @param {() => void} notAuthorized */
export function start(now, notAuthorized) {
  settings = now;
  signInAgain = notAuthorized;
  addEventListener("online", () => {
    for (const dive of store.all()) if (dive.failure?.code === "offline") again(dive.id);
  });
}

/** Start what may start now. */
export function pump() {
  const waiting = store.all().filter((dive) => dive.state === "queued").reverse();
  for (const dive of waiting.slice(0, Math.max(0, AT_ONCE - stops.size))) void run(dive.id);
}

/** @param {string} id */
export function again(id) {
  store.update(id, { state: "queued", failure: null, tries: 0, before: null, sent: 0 });
  pump();
}

/** @param {string} id */
export function stop(id) {
  stops.get(id)?.();
  stops.delete(id);
  store.update(id, { state: "stopped" });
  pump();
}

/** @param {string} id */
async function run(id) {
  const dive = store.find(id);
  const video = store.videoOf(id);
  const body = dive?.s3 ? JSON.stringify({ s3_uri: dive.s3 }) : video;
  if (!dive || !body) {
    store.update(id, { state: "failed", failure: { code: "gone", status: 0, message: "", details: {} } });
    return;
  }
  const inferenceId = store.newId();
  store.update(id, { state: "uploading", sent: 0, tries: dive.tries + 1 });
  const { reply, abort } = send({
    body,
    id: inferenceId,
    pin: dive.pin,
    sent: (sent) => store.update(id, { sent: Math.min(sent, dive.bytes) }),
    arrived: () => {
      store.update(id, { state: "waiting", sent: dive.bytes });
      void follow(id, inferenceId);
    },
  });
  stops.set(id, abort);
  const answer = await reply;
  stops.delete(id);
  ended(id, answer);
  pump();
}

/** Ask again and again how far a request is, until it is answered. @param {string} id @param {string} inferenceId */
async function follow(id, inferenceId) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, ASK_MS / 4));
    const place = await placeOf(settings().endpoint ?? "", inferenceId);
    const state = store.find(id)?.state;
    if (state !== "waiting" && state !== "working") return;
    if (place?.state === "at_work") store.update(id, { state: "working", before: null });
    if (place?.state === "waiting") store.update(id, { state: "waiting", before: place.before });
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
  }
}

/** @param {string} id @param {import("./api.js").Reply} reply */
function ended(id, reply) {
  const dive = store.find(id);
  if (!dive) return;
  const { requestId, variant, stages } = reply;
  if (reply.status === 200 && typeof reply.body?.score === "number") {
    store.update(id, { state: "scored", answer: reply.body, failure: null, requestId, variant, stages });
    return;
  }
  if (reply.status === 429 && dive.tries < MOST_TRIES) {
    retry(id, reply.retryAfter || 5);
    return;
  }
  const failure = failureOf(reply);
  store.update(id, { state: "failed", failure, requestId, variant, stages });
  if (failure.code === "not_authorized") signInAgain();
}

/** @param {string} id @param {number} seconds */
function retry(id, seconds) {
  store.update(id, { state: "retrying", retryAt: Date.now() + seconds * 1000 });
  const timer = setTimeout(() => {
    stops.delete(id);
    if (store.find(id)?.state !== "retrying") return;
    store.update(id, { state: "queued" });
    pump();
  }, seconds * 1000);
  stops.set(id, () => clearTimeout(timer));
}
