// @ts-check
// The dives of this page: what is known of each, its video, and who wants to hear of changes.
import { useEffect, useState } from "../shared/dom.js";
import * as history from "./history.js";

/** @type {Dive[]} */
let dives = [];
/** @type {Map<string, Blob>} */
const videos = new Map();
/** @type {Map<string, string>} */
const addresses = new Map();
/** @type {Set<() => void>} */
const listeners = new Set();
const ENDED = new Set(["scored", "failed", "stopped"]);

function changed() {
  for (const listener of listeners) listener();
}

/** An id that nobody else has; crypto.randomUUID is missing where the page is not on https. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join("");
}

/** @param {Partial<Dive> & { name: string }} known @returns {Dive} */
export function newDive(known) {
  return {
    id: newId(), bytes: 0, s3: null, added: Date.now(), pin: null, state: "queued", sent: 0, before: null, retryAt: 0,
    tries: 0, answer: null, failure: null, requestId: "", variant: "", stages: {}, truth: null, note: "", kept: false,
    ...known,
  };
}

export function all() {
  return dives;
}

/** @param {string} id */
export function find(id) {
  return dives.find((dive) => dive.id === id);
}

/** @param {Dive} dive @param {Blob | null} video */
export function add(dive, video) {
  if (video) videos.set(dive.id, video);
  dives = [dive, ...dives];
  changed();
  void history.saveDive(dive);
  if (video) void keepVideo(dive.id, video);
}

/** @param {string} id @param {Blob} video */
async function keepVideo(id, video) {
  const gone = await history.saveVideo(id, video, dives);
  for (const lost of gone ?? []) update(lost, { kept: false });
  if (gone) update(id, { kept: true });
}

/** @param {string} id @param {Partial<Dive>} what */
export function update(id, what) {
  const before = find(id);
  if (!before) return;
  const after = { ...before, ...what };
  dives = dives.map((dive) => (dive.id === id ? after : dive));
  changed();
  if (ENDED.has(after.state)) void history.saveDive(after);
}

/** @param {string} id */
export function remove(id) {
  dives = dives.filter((dive) => dive.id !== id);
  forget(id);
  changed();
  void history.removeDive(id);
}

/** @param {string} id */
function forget(id) {
  const address = addresses.get(id);
  if (address) URL.revokeObjectURL(address);
  addresses.delete(id);
  videos.delete(id);
}

export function clear() {
  for (const dive of dives) forget(dive.id);
  dives = [];
  changed();
  void history.clear();
}

/** @param {string} id */
export function videoOf(id) {
  return videos.get(id) ?? null;
}

/** A video's address for the player; empty where there is none here. @param {string} id */
export function addressOf(id) {
  const video = videos.get(id);
  if (!video) return "";
  const address = addresses.get(id) ?? URL.createObjectURL(video);
  addresses.set(id, address);
  return address;
}

/** Bring back what earlier visits left. */
export async function restore() {
  const found = await history.load();
  for (const [id, video] of found.videos) videos.set(id, video);
  const here = new Set(dives.map((dive) => dive.id));
  const old = found.dives
    .filter((dive) => !here.has(dive.id))
    .map((dive) => (ENDED.has(dive.state) ? dive : { ...dive, state: /** @type {State} */ ("stopped") }));
  dives = [...dives, ...old].sort((a, b) => b.added - a.added);
  changed();
}

/** Draw again whenever a dive changes. */
export function useDives() {
  const [, draw] = useState(0);
  useEffect(() => {
    const listener = () => draw((/** @type {number} */ n) => n + 1);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
  return dives;
}
