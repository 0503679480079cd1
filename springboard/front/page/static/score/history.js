// @ts-check
// What survives a reload: in this browser's IndexedDB and nowhere else. A browser that has none keeps nothing.
import * as idb from "../vendor/idb-keyval.js";

const MOST_BYTES = 300e6;
// Of servers under one origin each has its own.
const NAME = `springboard:${location.pathname}`;
const records = idb.createStore(NAME, "dives");
const files = idb.createStore(`${NAME}:videos`, "videos");
let works = true;

/** @template R @param {() => Promise<R>} act @returns {Promise<R | null>} */
async function tried(act) {
  if (!works) return null;
  try {
    return await act();
  } catch {
    works = false;
    return null;
  }
}

export function isKept() {
  return works;
}

/** Bytes that videos may take: a round number, less where the disk is nearly full. */
export async function quota() {
  try {
    const { quota: whole = MOST_BYTES * 2 } = await navigator.storage.estimate();
    return Math.min(MOST_BYTES, Math.floor(whole / 2));
  } catch {
    return MOST_BYTES; // no estimate without https; a full disk is told when it is met
  }
}

/** @param {Dive} dive */
export function saveDive(dive) {
  return tried(() => idb.set(dive.id, dive, records));
}

/**
 * Keep a video; the oldest make room for it.
 * @param {string} id @param {Blob} video @param {Dive[]} dives newest first
 * @returns {Promise<string[] | null>} whose videos went, null where this one cannot be kept
 */
export async function saveVideo(id, video, dives) {
  const room = await quota();
  if (video.size > room) return null;
  const kept = dives.filter((dive) => dive.kept && dive.id !== id);
  let used = kept.reduce((sum, dive) => sum + dive.bytes, video.size);
  /** @type {string[]} */
  const gone = [];
  while (used > room && kept.length) {
    const oldest = /** @type {Dive} */ (kept.pop());
    used -= oldest.bytes;
    gone.push(oldest.id);
  }
  return await tried(async () => {
    await idb.delMany(gone, files);
    await idb.set(id, video, files);
    return gone;
  });
}

/** @param {string} id */
export function removeDive(id) {
  return tried(async () => {
    await idb.del(id, records);
    await idb.del(id, files);
  });
}

export function clear() {
  return tried(async () => {
    await idb.clear(records);
    await idb.clear(files);
  });
}

/** @returns {Promise<{ dives: Dive[], videos: [string, Blob][] }>} */
export async function load() {
  const found = await tried(async () => ({
    dives: /** @type {Dive[]} */ (await idb.values(records)),
    videos: /** @type {[string, Blob][]} */ (await idb.entries(files)),
  }));
  return found ?? { dives: [], videos: [] };
}
