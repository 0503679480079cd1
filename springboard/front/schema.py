"""The shapes of answers, for /openapi.json and whoever reads it."""

from typing import Literal

from pydantic import BaseModel, Field


class Labelled(BaseModel):
    """One of a dive's classes."""

    label: str
    probability: float


class Dive(BaseModel):
    """The most probable dive."""

    number: str | None = Field(
        description="As World Aquatics writes it; null for a dive it has no number for."
    )
    position: Labelled
    rotation: Labelled
    somersaults: float
    twists: float
    armstand: bool


class Clip(BaseModel):
    """16 frames and their share of the score, in points."""

    start_frame: int
    end_frame: int
    start_s: float
    end_s: float
    contribution: float


class VideoInfo(BaseModel):
    """The video as sent."""

    frames: int
    fps: float
    duration_s: float
    width: int
    height: int
    scored_frames: int = Field(description="Fewer than frames where a camera made more than 35 a second.")


class Strip(BaseModel):
    """What was scored: the middle frame of each clip, as the network saw it, in a row of square tiles."""

    media_type: str
    tile: int = Field(description="The side of a tile, in pixels.")
    data: str = Field(description="The picture in base64.")


class Model(BaseModel):
    """What scored it."""

    name: str
    version: str
    trained_on: str | None = None


class Score(BaseModel):
    """A scored dive."""

    prediction: int = Field(description="The score's whole points, as the published system answered.")
    score: float = Field(description="Points as judges give them.")
    dive: Dive | None = Field(description="null where the release has no dive classifier.")
    clips: list[Clip]
    video: VideoInfo
    warnings: list[str] = Field(description="What may make the score wrong.")
    notes: list[str] = Field(description="What was done to the video before it was scored.")
    model: Model
    strip: Strip | None = Field(
        default=None, description="Only with `X-Springboard-Include: strip`, from releases that know it."
    )


class S3Video(BaseModel):
    """A video in a bucket that the server may read."""

    s3_uri: str = Field(examples=["s3://my-bucket/dives/054.mp4"])
    version_id: str | None = None


class AqaData(BaseModel):
    """Where the video lies."""

    bucket_name: str
    object_key: str


class PublishedVideo(BaseModel):
    """A video in S3 as the published system's Lambda took it."""

    aqa_data: AqaData


_BASE64 = "The video's base64, or a data URL with it."


class Base64Video(BaseModel):
    """A video in JSON."""

    video: str = Field(description=_BASE64)


class Instance(BaseModel):
    """One video of a request that has one."""

    b64: str = Field(description=_BASE64)


class Instances(BaseModel):
    """A video in JSON as TensorFlow Serving's clients send it."""

    instances: list[Instance] = Field(min_length=1, max_length=1)


class VideoForm(BaseModel):
    """A form with a video; any one field or file does."""

    video: bytes


class TruthOf(BaseModel):
    """A judges' score."""

    inference_id: str = Field(
        description="X-Amzn-SageMaker-Inference-Id of the request, or its x-amzn-RequestId."
    )
    score: float = Field(ge=0, le=1000, description="In points.")


JSON_BODIES: tuple[type[BaseModel], ...] = (S3Video, PublishedVideo, Base64Video, Instances)
BODIES: tuple[type[BaseModel], ...] = (VideoForm, *JSON_BODIES, TruthOf)


class LambdaScore(BaseModel):
    """What the published system's Lambda answered."""

    score: int


class ErrorDetail(BaseModel):
    """What was wrong, with which limit, and what to do."""

    code: str
    message: str


class Error(BaseModel):
    """Every error outside boto3's wire."""

    error: ErrorDetail


class TypedError(BaseModel):
    """SageMaker's error; its kind is in the header x-amzn-ErrorType."""

    Message: str


class ModelError(TypedError):
    """SageMaker's 424: the model refused or failed, or the video or its S3 address was at fault."""

    OriginalStatusCode: int
    OriginalMessage: str
    LogStreamArn: str = Field(description="Leads to the server's log lines: request-id:ID.")


class Ready(BaseModel):
    """Some variant with traffic can answer."""

    status: str


class Place(BaseModel):
    """How far a request is."""

    state: Literal["absent", "waiting", "at_work"] = Field(
        description="`absent`: not here whole yet, or answered, or not this caller's."
    )
    before: int = Field(description="How many turns are before its own.")


class Accepted(BaseModel):
    """A job that was taken in; headers tell where its result will be."""

    InferenceId: str


class Upload(BaseModel):
    """Where a video is to be put, with HTTP PUT, within the hour; headers tell where its result will be."""

    InferenceId: str
    InputLocation: str
    UploadUrl: str


class JobState(BaseModel):
    """Where a job stands."""

    inference_id: str
    state: Literal["unfinished", "completed", "failed"]
    output_location: str = Field(description="Where its result is, or will be.")
    failure_location: str = Field(description="Where the reason is, if there is none.")
    received: float = Field(description="When it was handed in, in Unix time.")
    expires: float = Field(description="It is not begun after this, in Unix time.")
    failure_reason: str | None


class TruthsTaken(BaseModel):
    """What became of truths."""

    matched: int = Field(description="New, of an answer that is remembered.")
    corrected: int = Field(description="Another score than was told before; it counts from now on.")
    repeated: int = Field(description="Told before; nothing changed.")
    unknown: int = Field(description="No answer of this id is remembered: never given here, or forgotten.")
    unknown_ids: list[str] = Field(description="Theirs, 100 at most.")


class WorkerState(BaseModel):
    """Workers that can answer, and how many there should be; why none can."""

    ready: int
    total: int
    reason: str


class VariantState(BaseModel):
    """One variant now. Rates and quantiles are of its last 1000 attempts."""

    name: str
    release: str
    weight: int
    share: float = Field(description="Of the traffic now: dead variants have none.")
    workers: WorkerState
    in_flight: int
    queued: int
    attempts: int = Field(description="Since this server started.")
    failed_attempts: int
    error_rate: float
    latency_seconds: dict[str, float] | None = Field(description="p50, p90, p99; null before any attempt.")


class LastError(BaseModel):
    """A request that got no score."""

    at: float = Field(description="When it ended, in Unix time.")
    request_id: str
    status: int = Field(description="As on /invocations.")
    code: str
    variant: str = Field(description="Empty where it reached none.")


class QueueState(BaseModel):
    """What the front holds, and may."""

    queued: int
    in_flight: int
    held_requests: int
    held_bytes: int
    limits: dict[str, float]


class JobsState(BaseModel):
    """Jobs that nobody waits for, as of a few seconds ago; null where the queue cannot be reached."""

    waiting: int | None
    at_work: int | None = Field(description="Workers have them.")
    dead: int | None = Field(description="Dead letters: they were given up.")
    oldest_seconds: float | None = Field(description="How long the oldest waits; null also on SQS.")
    workers: int = Field(description="Worker processes that this server heard of lately.")


class EndpointState(BaseModel):
    """The endpoint now."""

    endpoint: str
    status: str = Field(description="InService, OutOfService or Draining.")
    reason: str
    variants: list[VariantState]
    shadow: VariantState | None
    queue: QueueState
    jobs: JobsState | None = Field(description="Null without `async` in endpoint.yml.")
    last_errors: list[LastError] = Field(description="At most 20, newest first; those of every caller.")
