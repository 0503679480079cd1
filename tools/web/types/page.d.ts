// The page's own shapes, for checking; the API's are those of /openapi.json.
interface Settings {
  sign_in: "bearer" | "sigv4" | null;
  signed_in: boolean;
  max_body_bytes: number;
  status: boolean;
  endpoint?: string;
  variants?: string[];
  s3?: boolean;
}

interface Labelled {
  label: string;
  probability: number;
}

interface NamedDive {
  number: string | null;
  position: Labelled;
  rotation: Labelled;
  somersaults: number;
  twists: number;
  armstand: boolean;
}

interface Clip {
  start_frame: number;
  end_frame: number;
  start_s: number;
  end_s: number;
  contribution: number;
}

interface Strip {
  media_type: string;
  tile: number;
  data: string;
}

interface Answer {
  prediction: number;
  score: number;
  dive: NamedDive | null;
  clips: Clip[];
  video: { frames: number; fps: number; duration_s: number; width: number; height: number; scored_frames: number };
  warnings: string[];
  notes: string[];
  model: { name: string; version: string; trained_on?: string };
  strip?: Strip;
}

interface Failure {
  code: string;
  status: number;
  message: string;
  details: Record<string, any>;
}

type State = "queued" | "uploading" | "waiting" | "working" | "retrying" | "scored" | "failed" | "stopped";

interface Dive {
  id: string;
  name: string;
  bytes: number;
  s3: string | null;
  added: number;
  pin: string | null;
  state: State;
  sent: number;
  before: number | null;
  retryAt: number;
  tries: number;
  answer: Answer | null;
  failure: Failure | null;
  requestId: string;
  variant: string;
  stages: Record<string, number>;
  truth: number | null;
  note: string;
  kept: boolean;
}
