"""JPEGs that Pillow cannot write: by arithmetic coding, of 12 bits, of many scans, of several pictures."""

import base64
import struct

ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGB"
    "YUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/yQARCAAQ"
    "ABgDASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/ANlHSnnYgmQAupG6WVBCrJZcVW96VUtNlx4mAZpcDvcx9MSUVO1S8OlqhO"
    "zJ2bLPb9a0UfbvcmXZU+Nnc2QFgO3qzxXOX5qf9StbmfgM3RLk4V1RA025yOl9CNHRKzKGi0qzkM3SdfJHYAVkHBFO/9k="
)
"""24 × 16: red and green above, blue and white below."""

TWELVE_BITS = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGB"
    "YUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wQARDAAQ"
    "ABgDASIAAhEBAxEB/8QAGAAAAwEBAAAAAAAAAAAAAAAAAAwNCQv/xAAcEAEAAAcBAAAAAAAAAAAAAAAADA1JS4eJx8j/xAAWAQEBAQAAAAAAAA"
    "AAAAAAAAAMCgv/xAAxEQAAAgMMCgMAAAAAAAAAAAAVFgYTFAAFBwgKCxcYGRs0NgIDBAkMIyQlaOYmpqf/2gAMAwEAAhEDEQA/AF192H4etr5Y"
    "C6OSA1LUkzPd/dP/ALZXCy2Lh4+xw3BcYePNaomsqFbtdDQY1CaaI68+OpWfBQoEGjCa5YpU8tYt0NHOcRpzJvKCTERq5KpVAq/1gCZ88PR4Ai"
    "PCCicI+VyciAoKFAGzE9zEIiPVsjDtOowUY4Ct92beX/0X3Fwqe58/PH829+d//9k="
)
"""The same, of 12 bits a channel."""


def with_scans(progressive: bytes, *, count: int) -> bytes:
    """A progressive JPEG with ``count`` scans more, each of which says in a few bytes that nothing changes."""
    # Alternating current of the first component, first bits again: every block is empty (an end-of-band run).
    header = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0x00, 1, 63, 0x01)
    end = progressive.rindex(b"\xff\xd9")
    return progressive[:end] + (header + bytes(4)) * count + progressive[end:]


def with_sequential_scans(baseline: bytes, *, count: int) -> bytes:
    """A baseline JPEG of three components that come in ``count`` scans, by turns, without a byte of theirs."""
    begin = baseline.index(b"\xff\xda")
    scans = (b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, number % 3 + 1, 0x00, 0, 63, 0) for number in range(count))
    return baseline[:begin] + b"".join(scans) + b"\xff\xd9"


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """A JPEG with one more application segment (0xE0 to 0xEF) at its start."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + jpeg[2:]
