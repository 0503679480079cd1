// @ts-check
// Every word that the page says.

/** @param {number} bytes */
const size = (bytes) =>
  bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

/** @param {number} n @param {string} one */
const count = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`;

export const T = {
  size,
  brand: "Springboard",
  away: "The server cannot be reached. Look whether it runs and the network is there, then reload the page.",
  skip: "Skip to the contents", pages: "Pages", scorePage: "Score", status: "Status", signOut: "Sign out",
  copy: "Copy", copied: "Copied", points: "points", none: "–",
  signIn: {
    title: "Sign in",
    why: "This server asks for a token. It is kept in this tab only, and gone when you close it.",
    label: "Token", button: "Sign in",
    refused: "The server does not accept this token. It may have been revoked: ask for a new one.",
    noToken: "This cannot be a token: it has spaces or letters that none has.",
    away: "The server cannot be reached. Try again.",
    signedOnly:
      "This server takes signed requests only (SigV4), which a page cannot send. Start it with --auth bearer as well.",
  },
  intake: {
    title: "Score a dive",
    lead: "Drop a video of one dive. You get the score that judges would give, and where in the dive it was earned.",
    more: "Add dives", choose: "Choose videos", record: "Record", or: "or drop them anywhere, or paste",
    limit: (/** @type {number} */ bytes) => `Up to ${size(bytes)} each.`,
    drop: "Drop to score", s3: "From S3", s3Label: "Address of a video in S3", s3Button: "Score",
    s3Wrong: "It should look like s3://bucket/folder/dive.mp4.", variant: "Variant",
    byWeights: "by their shares",
  },
  samples: {
    title: "No video at hand? Try one",
    good: { title: "A good dive", text: "407C, as drawn for 88 points" },
    poor: { title: "A poor dive", text: "the same dive, for 24 points" },
    other: { title: "Not a dive", text: "people who walk" },
    about: "Drawn by a computer, for the demo release; others may refuse them.",
    away: "The sample could not be loaded. Reload the page.",
  },
  banner: (/** @type {string} */ data) =>
    data === "rendered dives"
      ? "The demo release answers: it learned from dives that a computer drew. What it says of real dives means nothing."
      : `The release that answers was trained on ${data}.`,
  state: {
    queued: "Next in line here",
    uploading: (/** @type {number} */ sent, /** @type {number} */ all) => `Uploading, ${size(sent)} of ${size(all)}`,
    waiting: (/** @type {number | null} */ before) =>
      before === null ? "Waiting" : before ? `Waiting, ${before} before you` : "Waiting, you are next",
    working: "At work",
    retrying: (/** @type {number} */ seconds) => `The server is busy. Trying again in ${seconds} s`,
    scored: "Scored", failed: "No score", stopped: "Stopped",
  },
  cancel: "Cancel", again: "Try again", remove: "Remove",
  stopped: "You stopped it, or left the page before the answer came.",
  player: {
    label: (/** @type {string} */ name) => `Video ${name}`,
    waiting: "This browser cannot play the file. The server may well read it; what it saw is shown here then.",
    nothing: "No picture of it here.",
    frame: (/** @type {number} */ n) => `The middle frame of clip ${n}, as the network saw it`,
    unplayable: "This browser cannot play the file. These are the frames that were scored: choose a bar.",
    gone: "The video is no longer kept here. These are the frames that were scored: choose a bar.",
  },
  timeline: {
    title: "Where the score comes from", strip: "What the network saw: the middle frame of each clip",
    bar: (/** @type {number} */ n, /** @type {string} */ from, /** @type {string} */ to, /** @type {string} */ share) =>
      `Clip ${n}, ${from} to ${to} s, ${share} points`,
    now: (/** @type {number} */ n, /** @type {number} */ all) => `Clip ${n} of ${all}`,
  },
  dive: {
    unnamed: "no dive number", armstand: "armstand",
    somersaults: (/** @type {string} */ n, /** @type {boolean} */ one) => `${n} somersault${one ? "" : "s"}`,
    twists: (/** @type {string} */ n, /** @type {boolean} */ one) => `${n} twist${one ? "" : "s"}`,
    sure: (/** @type {number} */ rotation, /** @type {number} */ position) =>
      `${Math.round(rotation * 100)} % sure of the direction, ${Math.round(position * 100)} % of the position`,
    unknown: "This release does not name dives.",
  },
  detail: {
    truth: "What the judges gave",
    off: (/** @type {number} */ by) => `${Math.abs(by).toFixed(2)} ${by < 0 ? "too low" : "too high"}`,
    name: "Name", note: "Note", warnings: "What may make the score wrong",
    notes: "What was done to the video", more: "Release, stages, request", release: "Release",
    variant: "Variant", video: "Video",
    videoText: (/** @type {Answer["video"]} */ v) =>
      `${v.width} × ${v.height}, ${count(v.frames, "frame")} at ${v.fps.toFixed(1)} a second, ${v.duration_s.toFixed(2)} s` +
      (v.scored_frames < v.frames ? `, ${v.scored_frames} scored` : ""),
    stages: "Stages", request: "Request", copyRequest: "Copy the request's id",
    same: "The same by curl, by boto3", copyCurl: "Copy the curl command",
    copyBoto3: "Copy the Python program",
    with: (/** @type {string} */ variant) => `Compare with ${variant}`,
  },
  table: {
    title: "Dives",
    select: (/** @type {string} */ name) => `Choose ${name} for comparing`,
    open: (/** @type {string} */ name) => `Show ${name}`,
    heads: {
      name: "Name", score: "Score", truth: "True", off: "Off by", dive: "Dive", variant: "Variant", added: "When",
      note: "Note",
    },
    compare: "Compare the two chosen", csv: "Export CSV", json: "Export JSON", print: "Print",
    clear: "Clear history", clearSure: "Remove all dives, their scores and videos from this browser?",
    kept: (/** @type {number} */ used, /** @type {number} */ quota) =>
      `Kept in this browser only. Videos take ${size(used)} of ${size(quota)}; the oldest go first.`,
    notKept: "This browser keeps no history: it ends with this page.",
    summary: (/** @type {number} */ n, /** @type {string} */ error, /** @type {string} */ rank) =>
      `Of ${count(n, "dive")} with a true score: off by ${error} points on average, rank correlation ${rank}.`,
  },
  compare: {
    title: "Two dives side by side", close: "Close", play: "Play both", pause: "Pause both",
    difference: (/** @type {string} */ by) => `${by} points apart`,
  },
  figures: {
    statuses: /** @type {Record<string, string>} */ ({
      InService: "In service", OutOfService: "Out of service", Draining: "Draining",
    }),
    refusedFigures: "The server refused its figures: sign in again.",
    away: "The server does not answer. Asking again; the figures below are old.",
    notYours: "Figures are for the server's own machine, or whom its --metrics lets in.",
    requests: "Requests", failed: "Failed", refused: "Refused", p50: "Half within", p95: "95 % within",
    atWork: "At work", waiting: "Waiting", held: "Videos held", variants: "Variants",
    variantHeads: [
      "Variant", "Release", "Share", "Workers", "At work", "Waiting", "Rate", "Failed", "p50", "p95", "Mean score",
    ],
    canary: (/** @type {string} */ release) => `${release} is on trial`,
    tried: (
      /** @type {string} */ name, /** @type {string} */ release, /** @type {string} */ part, /** @type {number} */ all,
      /** @type {number} */ not,
    ) => `${name} ${release}, ${part} of the traffic: ${count(all, "first attempt")}, ${not} without a score.`,
    refusals: "Refusals by code", noRefusals: "None since the server started.",
    refusalHeads: ["Code", "Since the start", "Last 30 s"],
    lastErrors: "Last errors", noErrors: "None.",
  },
  failures: {
    said: "The server says",
    gate: (/** @type {any} */ gate) =>
      `The gate saw class ${gate.class} of Sports-1M with ${Math.round(gate.probability * 100)} % probability; diving is 463.`,
  },
};

/** What is wrong and what to do, by the API's code and the page's own. @type {Record<string, [string, string]>} */
export const FAILURES = {
  access_denied: ["The server may not read this object", "Ask whoever runs the server to let it read the bucket."],
  bad_request: ["The server did not understand the page", "Reload it and try again."],
  body_too_large: ["Too large", "Cut the video to the one dive, or save it smaller, and try again."],
  bucket_not_allowed: ["The server reads no videos from this bucket", "Use one that it may read, or upload the file."],
  deadline_exceeded: ["It took too long", "Try again; if it stays so, the server is too slow for this video."],
  draining: ["The server is shutting down", "Another one may take over: try again in a moment."],
  empty_body: ["The file is empty", "Choose another, or save it again."],
  foreign_request: ["The server does not know this address of its own", "Open it as whoever runs it gave it to you."],
  front_unreachable: ["The server is away", "It may be restarting: try again in a moment."],
  gone: ["The connection to the server broke", "Look whether the network is there, then try again."],
  internal_error: ["The server failed", "Try again; if it stays so, tell whoever runs it the request's id."],
  invalid_header: ["The server refused the page's request", "Reload the page and try again."],
  invalid_request: ["This is no video", "Choose a video file: MP4, MOV, AVI, MKV and others are read."],
  job_refused: ["The job cannot be taken", "Read what the server says of it."],
  jobs_unreachable: ["The queue of jobs is away", "Try again in a moment."],
  kills_workers: ["This video ended several workers", "It is refused for a while. Save it again, in another format."],
  limit_exceeded: ["Too long or too large", "Cut the video to the one dive, from the approach to the splash."],
  method_not_allowed: ["The server did not understand the page", "Reload it and try again."],
  model_failed: ["The model failed on this video", "Save it again in another format, then try once more."],
  no_async: ["The server takes no jobs", "Score the video at once, as this page does."],
  no_such_route: ["The server does not know the page's request", "It may have been replaced: reload the page."],
  not_a_dive: ["Not a dive", "Cut the video to one dive that is seen whole, from the side."],
  not_authorized: ["Not signed in", "Sign in with a token that is valid, then try again."],
  not_ready: ["The server is not ready", "It starts, or nothing is deployed there: try again in a moment."],
  object_not_found: ["No such object in S3", "Look at the bucket, the key and its letters' case."],
  offline: ["You are offline", "It is tried again by itself once you are back."],
  out_of_memory: ["The server has no memory for it now", "Try again later, or cut the video shorter."],
  overloaded: ["The server is busy", "It was tried several times. Try again later."],
  storage_unreachable: ["The server cannot reach S3", "Try again, or upload the file."],
  unexpected_body: ["The server did not understand the page", "Reload it and try again."],
  unknown_endpoint: ["The endpoint has another name now", "Reload the page."],
  unknown_job: ["There is no such job", "Check its id."],
  unknown_model: ["The release is no longer served", "Reload the page."],
  unknown_variant: ["The variant is no longer served", "Choose another one, or none."],
  unreadable_video: ["The video cannot be read", "It is damaged or no video. Save it again, best as MP4 (H.264)."],
  unsupported_encoding: ["Something on the way packed the file", "Upload it from another network."],
  truth_refused: ["The judges' score cannot be taken", "Read what the server says of it."],
  truth_unreachable: ["The store of what was answered is away", "Try again in a moment."],
  upload_too_slow: ["The upload was too slow", "Use a faster network, or a smaller video."],
};

/** Said of a code that this page does not know. @type {[string, string]} */
export const UNKNOWN_FAILURE = ["The server refused it", "What it says may help; else try again."];
