"""Score hostile and broken files in a process that dies if anything opens a file or a socket.

usage: python -m tests.fuzz WEIGHTS SEED COUNT

Every file is decoded, where hostile ones do harm; every tenth also goes through the networks.
After a warm-up the kernel kills this process at its first attempt to open, connect or execute anything
(seccomp, so FFmpeg's own system calls count too). Prints one JSON line per file, then one with the memory
that all of them together added.
"""

import ctypes
import json
import platform
import random
import resource
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from model_handler.pipeline import Answer, Pipeline, Settings
from model_handler.request.errors import ScoringError
from model_handler.request.source import S3Object, parse
from model_handler.video import Limits, decode
from tests import bitstreams
from tests.clips import encode, moving_frames, rotate_by_tag

# System calls that would open something, by architecture: open, openat, openat2, creat, socket, connect,
# bind, execve, execveat (Linux, include/uapi/asm-generic/unistd.h and arch/x86/entry/syscalls).
_FORBIDDEN = {
    "x86_64": (2, 257, 437, 85, 41, 42, 49, 59, 322),
    "aarch64": (56, 437, 198, 203, 200, 221, 281),
}
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_KILL_PROCESS, _ALLOW = 0x80000000, 0x7FFF0000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06

SCORED_EVERY = 10
LIMITS = Limits(max_bytes=2_000_000, max_pixels=720 * 576, max_decode_s=5)
# Encoder and container.
_RARE = (
    *(("libsvtav1", "mp4"), ("libvpx", "webm"), ("prores_ks", "mov"), ("mpeg1video", "mpeg")),
    *(("msmpeg4v2", "avi"), ("wmv1", "asf"), ("huffyuv", "avi"), ("ffvhuff", "avi")),
    *(("ffv1", "matroska"), ("rawvideo", "matroska")),
)


def forbid_opening() -> None:
    """From here on the kernel kills this process when it opens a file or socket, or starts a program."""
    forbidden = _FORBIDDEN[platform.machine()]
    program = [(_LOAD, 0, 0, 0)]  # offset 0 of struct seccomp_data: the system call's number
    program += [(_JUMP_IF_EQUAL, len(forbidden) - i, 0, number) for i, number in enumerate(forbidden)]
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _KILL_PROCESS)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header), 0, 0),
    ):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def samples() -> list[bytes]:
    """Small good videos, one per container and codec."""
    frames = moving_frames(24, 96, 64)
    # HLG as phones make it, said in the bitstream.
    hdr: Any = {"x265-params": "log-level=error:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"}
    return [
        encode(frames),
        encode(frames, container="mov", audio=True),
        encode(frames, "mjpeg", "avi"),
        encode(frames, "mpeg4", "avi"),
        encode(frames, "libx265", "matroska"),
        encode(frames, "libvpx-vp9", "webm"),
        encode(frames, "gif", "gif"),
        encode(frames, "mpeg2video", "mpegts", audio=True),
        encode(frames, "mpeg2video", "mpeg"),
        encode(frames, "wmv2", "asf"),
        encode(frames, "flv", "flv", audio=True),
        encode(frames, "libx264", "h264"),
        encode(frames, "msmpeg4", "avi"),
        encode(moving_frames(48, 96, 64), fps=60),
        encode(frames, "libx265", "hevc", **hdr),
        encode(frames, "libx265", "mov", **hdr),
        rotate_by_tag(encode(frames), 90),
        # What callers hardly ever send.
        *(encode(frames, codec, container) for codec, container in _RARE),
        encode(moving_frames(24, 176, 144), "h263", "3gp"),
        encode(moving_frames(4, 720, 576), "dvvideo", "avi"),
        *(write(24) for write in (bitstreams.msmpeg4v1, bitstreams.wmv3, bitstreams.vc1)),
    ]


def files(seed: int, count: int, target: Path) -> Iterator[bytes]:
    """Yield `count` files: mutated videos, random bytes, playlists that name `target`, false pointers."""
    rng = random.Random(seed)
    good = samples()
    makers: list[tuple[int, Callable[[], bytes]]] = [
        (70, lambda: _mutate(rng, rng.choice(good))),
        (10, lambda: _splice(rng, rng.choice(good), rng.choice(good))),
        (8, lambda: _playlist(rng, target)),
        (7, lambda: rng.choice(good)[: rng.randrange(4, 64)] + rng.randbytes(rng.randrange(4000))),
        (3, lambda: rng.randbytes(rng.randrange(1, 20_000))),
        (2, lambda: json.dumps({rng.choice(["s3_uri", "aqa_data", "x"]): f"s3://{target}"}).encode()),
    ]
    weights = [weight for weight, _ in makers]
    for _ in range(count):
        yield rng.choices([make for _, make in makers], weights)[0]()


def _mutate(rng: random.Random, video: bytes) -> bytes:
    data = bytearray(video)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        # Headers hold the sizes and counts that parsers trust, so most changes go there.
        at = rng.randrange(max(1, min(len(data), 1500 if rng.random() < 0.6 else len(data))))
        match rng.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4)))
            case 2:
                del data[at : at + rng.randrange(1, 200)]
            case 3:
                data[at:at] = data[at : at + rng.randrange(1, 2000)]
            case 4:
                data[at : at + 16] = rng.randbytes(16)
            case 5:
                del data[max(at, 8) :]
    return bytes(data)


def _splice(rng: random.Random, first: bytes, second: bytes) -> bytes:
    return first[: rng.randrange(len(first))] + second[rng.randrange(len(second)) :]


def _playlist(rng: random.Random, target: Path) -> bytes:
    place = rng.choice((str(target), target.as_uri(), "http://127.0.0.1:9/x", "concat:" + str(target)))
    body = rng.choice(
        (
            f"ffconcat version 1.0\nfile '{place}'\n",
            f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{place}\n#EXT-X-ENDLIST\n",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
            f'<?xml version="1.0"?><MPD><Period><BaseURL>{place}</BaseURL></Period></MPD>',
            f"[playlist]\nFile1={place}\n",
            place,
        )
    ).encode()
    return rng.choice((b"", b"\xef\xbb\xbf", b"\n\n", b"RIFF", b"\x00\x00\x00\x18ftypmp42")) + body


def answer(pipeline: Pipeline, body: bytes, *, score: bool) -> Answer:
    """Answer as the server does; unless `score`, a file that decodes is 200 without having been scored."""
    try:
        source: bytes | S3Object | ScoringError = parse(body)
        if not score and isinstance(source, bytes):
            decode(source, LIMITS)
            return Answer(200, {}, {})
    except ScoringError as error:
        source = error
    return pipeline.process([source])[0]


def main(weights: Path, seed: int, count: int) -> None:
    """Score the files and print what became of each."""
    target = weights.with_name("inside.mp4")
    target.write_bytes(samples()[0])
    bodies = list(files(seed, count, target))
    pipeline = Pipeline(weights, Settings(precision="fp32", device="cpu", limits=LIMITS), "dive", "0.0.0")
    # Everything that is opened once, on first use, is opened before it is forbidden.
    pipeline.process([*samples(), b"nothing"])
    for video in samples():
        pipeline.process([video])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    forbid_opening()
    for index, body in enumerate(bodies):
        print(json.dumps({"index": index}), flush=True)
        answered = answer(pipeline, body, score=index % SCORED_EVERY == 0)
        print(json.dumps({"status": answered.status, "error": answered.body.get("error")}), flush=True)
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"added_kib": added}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
