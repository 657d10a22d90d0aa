"""What a service and its decoders say to each other: frames of JSON, which nothing can hide code in.

A decoder that a photo took over may say anything: whatever is not as it is to be is a ProtocolError, never trusted.
"""

import json
import re
import socket
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias, get_args

from triptych_common.media.decoded import ImageFacts
from triptych_common.media.failures import ImageFailure, ImageFailureCode
from triptych_common.media.scaling import Resolution

MAX_FRAME_BYTES: Final = 64 * 1024
_LENGTH_BYTES: Final = 4
_CODES: Final = frozenset(get_args(ImageFailureCode))
_MOST_SIDE: Final = 2**31
_TAKEN_AT: Final = re.compile(r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class ProtocolError(Exception):
    """What came is nothing that a decoder says."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Decode what lies in the shared bytes."""

    size_bytes: int
    resolution: Resolution
    max_pixels: int


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """The picture is decoded, and lies in the shared bytes: [height, width, 3]."""

    height: int
    width: int
    facts: ImageFacts


@dataclass(frozen=True, kw_only=True)
class Defect:
    """The decoder raised what no decoder should: a defect, of ours as likely as of the photo."""

    trace: str


Answer: TypeAlias = Pixels | ImageFailure | Defect


def question_to_json(question: Question) -> dict[str, Any]:
    """What is sent for a question."""
    return asdict(question)


def question_from_json(said: dict[str, Any]) -> Question:
    """A question out of what was sent; the service is trusted."""
    return Question(
        size_bytes=said["size_bytes"], max_pixels=said["max_pixels"], resolution=Resolution(**said["resolution"])
    )


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """What is sent for an answer."""
    match answer:
        case Pixels(facts=facts):
            told = {**asdict(facts), "content_sha256": facts.content_sha256.hex()}
            return {"height": answer.height, "width": answer.width, "facts": told}
        case ImageFailure():
            return {"code": answer.code, "message": answer.message[:1000], "permanent": answer.permanent}
        case Defect():
            return {"defect": answer.trace[-8000:]}


def answer_from_json(said: dict[str, Any], *, asked: Question) -> Answer:
    """An answer out of what was sent. Raises ProtocolError."""
    try:
        if "defect" in said:
            return Defect(trace=_text(said["defect"], 8000))
        if "code" in said:
            if said["code"] not in _CODES:
                raise ProtocolError("an unknown code")
            return ImageFailure(said["code"], _text(said["message"], 1000), permanent=said["permanent"] is True)
        height, width = _side(said["height"]), _side(said["width"])
        if height * width > asked.max_pixels:
            raise ProtocolError("more pixels than may be")
        return Pixels(height=height, width=width, facts=_facts(said["facts"], size_bytes=asked.size_bytes))
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"{type(error).__name__} in what was said") from error


def _facts(said: dict[str, Any], *, size_bytes: int) -> ImageFacts:
    facts = ImageFacts(
        content_sha256=bytes.fromhex(_text(said["content_sha256"], 64)),
        width=_side(said["width"]),
        height=_side(said["height"]),
        size_bytes=size_bytes,
        taken_at=_text(said["taken_at"], 19),
        format=_text(said["format"], 20),
    )
    if len(facts.content_sha256) != 32 or not _TAKEN_AT.fullmatch(facts.taken_at):
        raise ProtocolError("facts that are none")
    return facts


def _text(said: object, most: int) -> str:
    if not isinstance(said, str) or len(said) > most:
        raise ProtocolError("no text, or more than may be")
    return said


def _side(said: object) -> int:
    if type(said) is not int or not 1 <= said < _MOST_SIDE:
        raise ProtocolError("no side of a picture")
    return said


def frame(said: dict[str, Any]) -> bytes:
    """The bytes that are sent for a message: their number, and JSON."""
    body = json.dumps(said).encode()
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class FrameReader:
    """Makes messages of the bytes that come. Raises ProtocolError for what is no message."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._bytes = b""

    def receive(self) -> dict[str, Any] | None:
        """The next message, or None for what is not whole yet. Blocks as the channel does; raises EOFError, OSError."""
        chunk = self._channel.recv(MAX_FRAME_BYTES)
        if not chunk:
            raise EOFError("the other end is gone")
        self._bytes += chunk
        length = int.from_bytes(self._bytes[:_LENGTH_BYTES], "big")
        if len(self._bytes) >= _LENGTH_BYTES and length > MAX_FRAME_BYTES:
            raise ProtocolError("a message that is longer than may be")
        end = _LENGTH_BYTES + length
        if len(self._bytes) < max(end, _LENGTH_BYTES):
            return None
        body, self._bytes = self._bytes[_LENGTH_BYTES:end], self._bytes[end:]
        if self._bytes:
            raise ProtocolError("more was said than was asked")
        try:
            said = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ProtocolError("what is no JSON") from error
        if not isinstance(said, dict):
            raise ProtocolError("what is no object")
        return said
