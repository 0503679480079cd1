"""What a file is that is no video this server reads, and the one line that makes one of it, where one can."""

import re

from model_handler.video.extent import lacks_index, missing_bytes
from model_handler.video.streams import READABLE

_CONVERT = "ffmpeg -i INPUT -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4"
_PICTURE = "a video is needed, not a picture."
_SOUND = "a video is needed, and this holds sound only."
_FILM = f"convert it: {_CONVERT}"
_UNPACK = "unpack it and send the video itself."
_TEXT = "send the video's own bytes."

# Signatures as file(1) and the formats' specifications give them; the first that matches names the file.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (rb"RIFF....WEBP.{30,900}?ANMF", "an animated WebP", "make a video of it: magick INPUT OUTPUT.mp4"),
    (rb"RIFF....WEBP", "a WebP picture", _PICTURE),
    (rb"\x89PNG\r\n\x1a\n.{0,900}?acTL", "an animated PNG", _FILM),
    (rb"\x89PNG\r\n\x1a\n", "a PNG picture", _PICTURE),
    (rb"\xff\xd8\xff", "a JPEG picture", f"{_PICTURE} If it is a stream of many, {_FILM}"),
    (rb"....ftyp(?:hev[cxms]|msf1)", "a HEIC sequence", _FILM),
    (rb"....ftyp(?:hei[cxms]|mif[12])", "a HEIC picture", _PICTURE),
    (rb"....ftypavis", "an AVIF sequence", _FILM),
    (rb"....ftypavif", "an AVIF picture", _PICTURE),
    (rb"GIF8[79]a", "a GIF that is damaged or holds one picture only", "send a whole one that moves."),
    (rb"BM....\x00\x00\x00\x00", "a BMP picture", _PICTURE),
    (rb"II\x2a\x00|MM\x00\x2a", "a TIFF or raw camera picture", _PICTURE),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "a JPEG XL picture", _PICTURE),
    (rb"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture", _PICTURE),
    (rb"8BPS", "a Photoshop picture", _PICTURE),
    (rb"RIFF....WAVE|RF64....WAVE", "a WAV file", _SOUND),
    (rb"ID3|\xff[\xfb\xf3\xf2\xfa]", "an MP3 file", _SOUND),
    (rb"\xff[\xf1\xf9]", "an AAC file", _SOUND),
    (rb"fLaC", "a FLAC file", _SOUND),
    (rb"OggS.{23,40}(?:OpusHead|\x01vorbis|\x7fFLAC|Speex)", "an Ogg sound file", _SOUND),
    (rb"#!AMR", "an AMR file", _SOUND),
    (rb"MThd", "a MIDI file", _SOUND),
    (rb"caff", "a CAF file", _SOUND),
    (rb"\x0b\x77", "an AC-3 file", _SOUND),
    (rb"FORM....AIF[FC]", "an AIFF file", _SOUND),
    (rb"OggS", "an Ogg video", _FILM),
    (rb"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02", "an MXF video", _FILM),
    (rb"\.RMF", "a RealMedia video", _FILM),
    (rb"YUV4MPEG2", "a YUV4MPEG video", _FILM),
    (rb"DKIF", "an IVF video", _FILM),
    (rb"\xb7\xd8\x00\x20\x37\x49\xda\x11", "a WTV recording", _FILM),
    (rb"\x1f\x07\x00", "a raw DV video", _FILM),
    (rb"\x00\x00\x01\xb3", "a raw MPEG-1 or MPEG-2 video", _FILM),
    (rb"\x00\x00\x01\xb0", "a raw MPEG-4 video", _FILM),
    (rb"\x12\x00\x0a", "a raw AV1 video", _FILM),
    (rb"nut/multimedia container", "a NUT video", _FILM),
    (rb"[FCZ]WS[\x01-\x40]", "a Flash program", "send the video that it plays."),
    (rb"%PDF-", "a PDF document", _TEXT),
    (rb"PK\x03\x04|PK\x05\x06", "a zip archive", _UNPACK),
    (rb"\x1f\x8b", "a gzip archive", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (rb"BZh[1-9]|\xfd7zXZ\x00|\x28\xb5\x2f\xfd", "a compressed file", _UNPACK),
    (rb".{257}ustar", "a tar archive", _UNPACK),
    (rb"\x7fELF|MZ", "a program", _TEXT),
    (rb"version https://git-lfs", "a Git LFS pointer", "fetch the file itself: git lfs pull"),
    (rb"\s*(?:#EXTM3U|ffconcat|\[playlist\])", "a playlist", "send the video that it names."),
    (rb"\s*<(?:!DOCTYPE html|html|head|body)", "a web page", "download the video and send that."),
    (rb"\s*<\?xml[^>]*>\s*(?:<!--.*?-->\s*)?<(?:\w+:)?MPD", "a playlist", "send the video that it names."),
    (rb"\s*<(?:\?xml|svg|Error)", "an XML document", _TEXT),
    (rb"data:[\w/+.-]+;base64,", "a data URL", _TEXT),
)
_KNOWN = [
    (re.compile(rb"(?s)(?i:" + s + rb")" if s.startswith(rb"\s*<") else rb"(?s)" + s), n, d)
    for s, n, d in _SIGNATURES
]
_HEAD = 1024
# curl -d leaves these out of what it sends; a video of some length has all of them.
_STRIPPED = (b"\n", b"\r", b"\0")


def known(data: bytes) -> str | None:
    """Say what a file is and what to do, by its first bytes; None for what is not known."""
    head = data[:_HEAD].removeprefix(b"\xef\xbb\xbf")
    for signature, name, advice in _KNOWN:
        if signature.match(head):
            return f"This is {name}: {advice}"
    return None


def refusal(data: bytes) -> str:
    """Return the sentence for bytes that no allowed demuxer and decoder can make a video of."""
    if name := known(data):
        return name
    if not data[:_HEAD].strip(b"\0"):
        return "The body is not a video: it begins with nothing but zeros, as a broken download does."
    if _is_text(data[:_HEAD]):
        return f"The body is text, not a video. Send the bytes of a {READABLE} file."
    if len(data) > 4 * _HEAD and not any(byte in data for byte in _STRIPPED):
        return "The video lost bytes on its way, as with curl -d; send it with curl --data-binary @FILE."
    return incomplete(
        data,
        f"The body is not a video this server can read. Send {READABLE}; ffmpeg makes one of most files:"
        f" {_CONVERT}",
        instead=True,
    )


def incomplete(data: bytes, otherwise: str, *, instead: bool = False) -> str:
    """Return `otherwise` after, or if wanted replaced by, what a file lacks by its own account."""
    if missing := missing_bytes(data):
        lacks = f"{missing:,} byte{'s' * (missing > 1)} or more are missing at its end"
    elif lacks_index(data) and not known(data):
        lacks = "its index (moov), which cameras write last, is missing"
    else:
        return otherwise
    found = (
        f"The file is incomplete, as when a recording or an upload breaks off: {lacks}. Send the whole file."
    )
    return found if instead else f"{found} {otherwise}"


def too_few(frames: int, needed: int, data: bytes) -> str:
    """Return the sentence for a file of which not even one clip decodes."""
    if frames <= 1 and (name := known(data)):
        return name
    noun = "frame" if frames == 1 else "frames"
    return f"Only {frames} {noun} of the video can be decoded; a score needs at least {needed}."


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        # The head may end within a character.
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode()
    return all(c.isprintable() or c.isspace() for c in text)
