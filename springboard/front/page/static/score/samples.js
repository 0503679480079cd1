// @ts-check
/** The demo's clips, and what they were drawn to score. */
export const SAMPLES = [
  { key: "good", file: "good-dive.mp4", truth: 88 },
  { key: "poor", file: "poor-dive.mp4", truth: 24 },
  { key: "other", file: "not-a-dive.mp4", truth: null },
];
