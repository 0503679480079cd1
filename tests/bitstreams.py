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


def _ue(number: int) -> str:
    """Exp-Golomb code (ITU-T H.264, 9.1)."""
    code = f"{number + 1:b}"
    return "0" * (len(code) - 1) + code


def _nal(kind: int, body: bytes) -> bytes:
    """Return a NAL unit with start code and emulation prevention (ITU-T H.264, 7.3.1 and annex B)."""
    out = bytearray()
    for byte in body:
        if byte <= 3 and out.endswith(b"\0\0"):
            out.append(3)
        out.append(byte)
    return b"\0\0\0\1" + bytes([kind]) + bytes(out)


def h264_fields(count: int) -> list[bytes]:
    """H.264 as camcorders write it (ITU-T H.264, 7.3): frames of two field pictures, 25 frames/s.

    All macroblocks are I_PCM and grey.
    """
    rate = "1" + f"{1:032b}{50:032b}" + "1"
    sps = f"{77:08b}" + "0" * 8 + f"{30:08b}" + _ue(0) * 2 + _ue(2) + _ue(1) + "0"
    sps += _ue(_SIDE // 16 - 1) + _ue(_SIDE // 32 - 1) + "0010" + "1" + "0000" + rate + "0000" + "1"
    pps = _ue(0) * 2 + "00" + _ue(0) * 3 + "000" + _ue(0) * 3 + "100" + "1"
    fields = []
    for number in range(count):
        for bottom in (0, 1):
            first = number == bottom == 0
            head = _ue(0) + _ue(7) + _ue(0) + f"{number % 16:04b}" + f"1{bottom}"
            head += (_ue(0) + "00" if first else "0") + _ue(0) + _ue(1)
            slice_ = b""
            for macroblock in range(_MACROBLOCKS // 2):
                grey = 60 + (number * 3 + macroblock * 4) % 150
                slice_ += _bytes((head if macroblock == 0 else "") + _ue(25)) + bytes([grey] * 384)
            parameters = _nal(0x67, _bytes(sps)) + _nal(0x68, _bytes(pps)) if first else b""
            fields.append(parameters + _nal(0x65 if first else 0x61, slice_ + b"\x80"))
    return fields
