"""Video bytes -> upright RGB frames, cropped as C3D wants them.

`decode` is the door. Behind it, each in a room of its own:

    streams      which containers and codecs are read, and which stream of a file is the dive
    ahead        packets, some of them held before decoding, so that the video's rate is known first
    pace         how often frames come, by their times, the bitstream or headers
    completeness whether a file holds all that it announces; extent: to the byte
    thinning     frames' times, and which of them are taken where a camera made too many
    orientation  a display matrix's turns and mirrors
    colour       pixels -> 8-bit BT.709: as OpenCV does it, HDR and wide gamut converted
    naming       what a file is that cannot be read, and the line that makes a video of it
    limits       what one video may cost

FFmpeg opens whatever the bytes claim to be, playlists and network sessions among them, so containers and
decoders come from an allow-list, no protocol is allowed, and limits are checked between packets. Everything
stays in memory.
"""

from model_handler.video.colour import CROP_LEFT, CROP_TOP, RESIZED_HEIGHT, RESIZED_WIDTH, Frames
from model_handler.video.decoding import FRAME_RATES, FrameRate, Video, VideoInfo, decode
from model_handler.video.limits import Limits

__all__ = [
    "CROP_LEFT",
    "CROP_TOP",
    "FRAME_RATES",
    "FrameRate",
    "RESIZED_HEIGHT",
    "RESIZED_WIDTH",
    "Frames",
    "Limits",
    "Video",
    "VideoInfo",
    "decode",
]
