"""Each container and decoder that the server says it reads, read; what it does not read is named."""

import io
import zipfile
from collections.abc import Callable
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from model_handler.request.errors import UnreadableVideo
from model_handler.video import Limits, decode
from model_handler.video.streams import CONTAINERS, DECODERS
from tests import bitstreams
from tests.clips import encode, moving_frames
from tests.unit.model.video.films import even, film

LIMITS = Limits()

# Decoder -> encoder, container, width, height, pixel format.
ENCODED = {
    "h264": ("libx264", "mp4", 320, 240, "yuv420p"),
    "hevc": ("libx265", "mp4", 320, 240, "yuv420p"),
    "libdav1d": ("libsvtav1", "mp4", 320, 240, "yuv420p"),
    "vp8": ("libvpx", "webm", 320, 240, "yuv420p"),
    "vp9": ("libvpx-vp9", "webm", 320, 240, "yuv420p"),
    "mpeg4": ("mpeg4", "avi", 320, 240, "yuv420p"),
    "msmpeg4": ("msmpeg4", "avi", 320, 240, "yuv420p"),
    "msmpeg4v2": ("msmpeg4v2", "avi", 320, 240, "yuv420p"),
    "h263": ("h263", "3gp", 352, 288, "yuv420p"),
    "flv": ("flv", "flv", 320, 240, "yuv420p"),
    "wmv1": ("wmv1", "asf", 320, 240, "yuv420p"),
    "wmv2": ("wmv2", "asf", 320, 240, "yuv420p"),
    "mpeg1video": ("mpeg1video", "mpeg", 320, 240, "yuv420p"),
    "mpeg2video": ("mpeg2video", "mpegts", 320, 240, "yuv420p"),
    "dvvideo": ("dvvideo", "avi", 720, 576, "yuv420p"),
    "prores": ("prores_ks", "mov", 320, 240, "yuv422p10le"),
    "mjpeg": ("mjpeg", "mov", 320, 240, "yuvj420p"),
    "gif": ("gif", "gif", 320, 240, "rgb8"),
    "rawvideo": ("rawvideo", "matroska", 320, 240, "yuv420p"),
    "ffv1": ("ffv1", "matroska", 320, 240, "yuv420p"),
    "huffyuv": ("huffyuv", "avi", 320, 240, "yuv422p"),
    "ffvhuff": ("ffvhuff", "avi", 320, 240, "yuv420p"),
}
WRITTEN: dict[str, Callable[[int], bytes]] = {
    "msmpeg4v1": bitstreams.msmpeg4v1,
    "wmv3": bitstreams.wmv3,
    "vc1": bitstreams.vc1,
}
# What FFmpeg's muxers are called, for each demuxer on the list.
MUXERS = {"m4a": "ipod", "mj2": "mov", "webm": "webm", "h264": "h264", "hevc": "hevc"}


def made(codec: str, container: str, width: int, height: int, pix_fmt: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        options = {"x265-params": "log-level=error"} if codec == "libx265" else {}
        stream = output.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = Fraction(1, 25)
        for picture in moving_frames(20, width, height):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pix_fmt)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def test_every_decoder_on_the_list_is_tested() -> None:
    assert set(DECODERS) == set(ENCODED) | set(WRITTEN)


@pytest.mark.parametrize("decoder", ENCODED)
def test_each_encoded_codec_is_read(decoder: str) -> None:
    data = made(*ENCODED[decoder])
    with av.open(io.BytesIO(data)) as container:
        assert container.streams.video[0].codec_context.codec.name == decoder
    video = decode(data, LIMITS)
    assert video.info.frames == 20
    assert video.info.fps == pytest.approx(25, rel=0.01)
    assert video.warnings == video.notes == ()
    # A block falls through the picture, so the frames differ.
    assert np.abs(video.frames[0].astype(int) - video.frames[-1]).max() > 60


@pytest.mark.parametrize("decoder", WRITTEN)
def test_each_codec_without_an_encoder_is_read(decoder: str) -> None:
    data = WRITTEN[decoder](20)
    with av.open(io.BytesIO(data)) as container:
        assert container.streams.video[0].codec_context.codec.name == decoder
    video = decode(data, LIMITS)
    assert (video.info.frames, video.info.width, video.warnings) == (20, 64, ())


@pytest.mark.parametrize("demuxer", CONTAINERS)
def test_each_container_is_read(demuxer: str) -> None:
    codec = {"gif": "gif", "asf": "wmv2", "mpeg": "mpeg2video", "webm": "libvpx", "hevc": "libx265"}
    pix_fmt = "rgb8" if demuxer == "gif" else "yuv420p"
    data = made(codec.get(demuxer, "libx264"), MUXERS.get(demuxer, demuxer), 320, 240, pix_fmt)
    with av.open(io.BytesIO(data)) as container:
        assert demuxer in container.format.name.split(",")
    video = decode(data, LIMITS)
    assert (video.info.frames, video.warnings) == (20, ())
    assert video.info.fps == pytest.approx(25, rel=0.01)


def picture(name: str) -> bytes:
    return cv2.imencode(name, np.zeros((64, 64, 3), np.uint8))[1].tobytes()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("dive.mp4", bytes(100))
    return file.getvalue()


def sound(container: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000)
        assert isinstance(stream, av.AudioStream)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
        silence.sample_rate = 48_000
        output.mux(stream.encode(silence))
        output.mux(stream.encode())
    return file.getvalue()


REFUSED: dict[str, Callable[[], bytes]] = {
    "WebP picture": lambda: picture(".webp"),
    "PNG picture": lambda: picture(".png"),
    "JPEG picture": lambda: picture(".jpg"),
    "TIFF": lambda: picture(".tiff"),
    "AVIF picture": lambda: picture(".avif"),
    "HEIC picture": lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(range(256)) * 8,
    "WAV file": lambda: sound("wav", "pcm_s16le"),
    "MP3 file": lambda: sound("mp3", "mp3"),
    "FLAC file": lambda: sound("flac", "flac"),
    "Ogg sound": lambda: sound("ogg", "libopus"),
    "only sound": lambda: sound("mp4", "aac"),
    "PDF document": lambda: b"%PDF-1.7\n1 0 obj\n",
    "zip archive": zipped,
    "gzip archive": lambda: b"\x1f\x8b\x08" + bytes(60),
    "web page": lambda: b"<!DOCTYPE html>\n<html><body>Sign in</body></html>",
    "XML document": lambda: b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
    "playlist": lambda: b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1/x.ts\n",
    "Git LFS pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "The body is text": lambda: b"hello, this is my dive",
    "web page: download": lambda: b"<!DOCTYPE html>" + b"<p>Sign in</p>" * 1000,
    "PDF document: send": lambda: b"%PDF-1.7 " + b"x" * 9000,
    "an animated PNG: convert it: ffmpeg": lambda: film(
        even(20, 25), codec="apng", container="apng", pix_fmt="rgb24"
    ),
    "raw MPEG-1 or MPEG-2 video: convert it: ffmpeg": lambda: made(
        "mpeg2video", "mpeg2video", 320, 240, "yuv420p"
    ),
    "a GIF that is damaged or holds one picture": lambda: encode(moving_frames(1), "gif", "gif"),
    "nothing but zeros": lambda: bytes(10_000),
    "--data-binary": lambda: bytes(b for b in encode(moving_frames(40)) if b not in b"\r\n\0"),
    "ffmpeg -i INPUT -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4": lambda: made(
        "mpeg2video", "mxf", 320, 240, "yuv420p"
    ),
    "codec (png)": lambda: film(even(20, 25), codec="png", container="mov", pix_fmt="rgb24"),
}


@pytest.mark.parametrize("says", REFUSED)
def test_what_is_no_video_is_named(says: str) -> None:
    with pytest.raises(UnreadableVideo) as refusal:
        decode(REFUSED[says](), LIMITS)
    assert says in refusal.value.message
