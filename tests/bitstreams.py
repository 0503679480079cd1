"""Plain videos in codecs that FFmpeg decodes but does not encode, written bit by bit, as is their AVI.

Every frame is a key frame whose macroblocks differ nowhere from the predicted DC, so that a handful of code
words are enough.
"""

import struct

_SIDE = 64  # pixels, 4x4 macroblocks
_MACROBLOCKS = (_SIDE // 16) ** 2


def _bytes(bits: str) -> bytes:
    padded = bits + "0" * (-len(bits) % 8)
    return int(padded, 2).to_bytes(len(padded) // 8, "big")


def avi(
    fourcc: bytes,
    frames: list[bytes],
    extradata: bytes = b"",
    fps: int = 25,
    size: tuple[int, int] | None = None,
) -> bytes:
    """Return an AVI of one video stream (Microsoft's AVI RIFF File Reference)."""
    width, height = size or (_SIDE, _SIDE)

    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    def group(name: bytes, *chunks: bytes) -> bytes:
        return chunk(b"LIST", name + b"".join(chunks))

    count = len(frames)
    main = struct.pack("<14I", 10**6 // fps, 0, 0, 0x10, count, 0, 1, 0, width, height, 0, 0, 0, 0)
    stream = struct.pack(
        "<4s4sIHHIIIIIIII4H", b"vids", fourcc, 0, 0, 0, 0, 1, fps, 0, count, 0, 0, 0, 0, 0, width, height
    )
    length = 40 + len(extradata)
    format_ = struct.pack("<IiiHH4sIiiII", length, width, height, 1, 24, fourcc, 0, 0, 0, 0, 0) + extradata
    index, data = b"", b""
    for frame in frames:
        index += struct.pack("<4sIII", b"00dc", 0x10, 4 + len(data), len(frame))
        data += chunk(b"00dc", frame)
    header = group(
        b"hdrl", chunk(b"avih", main), group(b"strl", chunk(b"strh", stream), chunk(b"strf", format_))
    )
    return chunk(b"RIFF", b"AVI " + header + chunk(b"LIST", b"movi" + data) + chunk(b"idx1", index))


# A macroblock without coefficients in MS-MPEG-4's and VC-1's intra tables: pattern 1, no AC prediction 0, a
# luma difference of zero 1, a chroma one 00.
_VC1_MACROBLOCK = "1" + "0" + "1" * 4 + "00" * 2


def msmpeg4v1(count: int) -> bytes:
    """Microsoft MPEG-4 version 1: start code, frame number, I, quantiser 8, one slice of 4 rows."""
    head = f"{0x100:032b}" + "00000" + "00" + "01000" + "00100"
    macroblock = "1" + "0011" + "100" * 4 + "00" * 2
    return avi(b"MPG4", [_bytes(head + macroblock * _MACROBLOCKS)] * count)


def wmv3(count: int) -> bytes:
    """Windows Media Video 9, simple profile (SMPTE 421M, annex J, then 7.1.1): every frame an I picture."""
    # Profile 0; nothing on but the fast transform, fast chroma motion and the reserved bit.
    sequence = "00" + "00" + "000" + "00000" + "0" + "0011" + "0" + "00" + "00000" + "000" + "00" + "0" + "1"
    # Frame count, I, buffer fullness, quantiser 8 without its half, tables 0.
    head = "00" + "0" + "0000000" + "01000" + "0" + "000"
    return avi(b"WMV3", [_bytes(head + _VC1_MACROBLOCK * _MACROBLOCKS)] * count, _bytes(sequence))


def vc1(count: int) -> bytes:
    """VC-1, advanced profile (SMPTE 421M, 6.1, 6.2 and 7.1.1), every frame an I picture."""
    size = f"{_SIDE // 2 - 1:012b}"
    sequence = "11" + "000" + "01" + "000" + "00000" + "0" + size * 2 + "0000" + "1" + "0" + "00" + "1"
    entry = "01" + "00" + "000" + "00" + "00" + "00" + "0" + "00" + "1"
    extradata = b"\0\0\1\x0f" + _bytes(sequence) + b"\0\0\1\x0e" + _bytes(entry)
    # I, rounding, quantiser 8 without its half, AC prediction said in each macroblock, tables 0.
    head = "110" + "0" + "01000" + "0" + "0" + "0000" + "000"
    frame = b"\0\0\1\x0d" + _bytes(head + _VC1_MACROBLOCK * _MACROBLOCKS + "1")
    return avi(b"WVC1", [frame] * count, extradata)
