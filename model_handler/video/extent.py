"""How far a file says that it goes: containers write their own length, so a cut is known to the byte.

Reads the outermost headers only, of bytes that may be anything; what says nothing counts as whole.
"""

from collections.abc import Iterator

# ISO/IEC 14496-12 and QuickTime: what lies at a file's top. Anything else is what someone appended.
_BOXES = {
    *(b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"pnot", b"uuid"),
    *(b"meta", b"mfra", b"emsg", b"prft", b"pdin", b"udta"),
}
# RFC 8794 and RFC 9559.
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
# Advanced Systems Format, 3.1 and 3.2: header object, file properties object and its broadcast flag.
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_BROADCAST = 1
# Headers read of one file: more than any video within the limits has, and less than 0.1 s of walking.
_MOST_HEADERS = 200_000


def missing_bytes(data: bytes) -> int:
    """Return how many bytes a file lacks at least, by its own account; 0 if it is whole or says nothing."""
    return max(0, _announced_bytes(data) - len(data))


def lacks_index(data: bytes) -> bool:
    """Say whether this is an mp4 or mov without its index (moov), which comes last in what cameras write."""
    names = {name for name, _ in _boxes(data)}
    return b"mdat" in names and not {b"moov", b"moof"} & names


def _announced_bytes(data: bytes) -> int:
    if data[4:8] in _BOXES:
        return max((end for _, end in _boxes(data)), default=0)
    if data.startswith(_EBML):
        return _matroska(data)
    if data.startswith(b"RIFF"):
        size = int.from_bytes(data[4:8], "little")
        return 0 if size == 0xFFFFFFFF else 8 + size
    if data.startswith(_ASF):
        return _asf(data)
    if data.startswith(b"FLV"):
        return _flv(data)
    if data.startswith(b"GIF8"):
        return _gif(data)
    return 0


def _boxes(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the names and ends of the boxes at the file's top, the last of which may end beyond the file."""
    at = 0
    for _ in range(_MOST_HEADERS):
        if at + 8 > len(data):
            return
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size == 0:  # to the file's end
            size = len(data) - at
        if size < head or name not in _BOXES:
            return
        at += size
        yield name, at


def _matroska(data: bytes) -> int:
    size, at = _ebml_size(data, 4)
    at += size or 0
    if data[at : at + 4] != _SEGMENT:
        return 0
    size, at = _ebml_size(data, at + 4)
    return at + size if size is not None else 0


def _ebml_size(data: bytes, at: int) -> tuple[int | None, int]:
    """Return an element's size, None if unknown, and where its content begins (RFC 8794, 4 and 6.1)."""
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return None if length > 8 or value == (1 << 7 * length) - 1 else value, at + length


def _asf(data: bytes) -> int:
    at, end = 30, int.from_bytes(data[16:24], "little")
    while at + 104 <= min(end, len(data)):
        if data.startswith(_ASF_FILE, at):
            broadcast = data[at + 88] & _BROADCAST
            return 0 if broadcast else int.from_bytes(data[at + 40 : at + 48], "little")
        at += max(24, int.from_bytes(data[at + 16 : at + 24], "little"))
    return 0


def _flv(data: bytes) -> int:
    """Walk the tags (FLV specification 10.1, annex E.3 and E.4); what is none of them ends the walk."""
    at = int.from_bytes(data[5:9], "big") + 4
    for _ in range(_MOST_HEADERS):
        if at + 11 > len(data) or data[at] & 0x1F not in (8, 9, 18):
            return at
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
    return 0


def _gif(data: bytes) -> int:
    """Walk the blocks (GIF89a, 17 to 27) to what is no block: the trailer, or damage. It may be left out."""
    at, block = 13 + _gif_colours(data, 10), True
    for _ in range(_MOST_HEADERS):
        if at >= len(data):
            return at
        if block and data[at] not in b"!,":
            return at if data[at] == ord(";") else len(data) + 1
        if block:
            at += 2 if data[at] == ord("!") else 11 + _gif_colours(data, at + 9)
            block = False
        else:  # a block's parts, the last of which is empty
            block = data[at] == 0
            at += 1 + data[at]
    return 0


def _gif_colours(data: bytes, at: int) -> int:
    """Return the bytes of a colour table, by the flags at `at`."""
    flags = data[at] if at < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
