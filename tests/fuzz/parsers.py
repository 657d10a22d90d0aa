"""Parsers of ours, each as a function of bytes that raises only where the parser breaks its word.

Whatever the bytes, a parser gives a value that can be worked with, or raises the one error that it documents.
"""

import asyncio
import contextlib
import json
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from google.protobuf.message import DecodeError
from pydantic import ValidationError
from starlette.requests import Request

from tests.fuzz.corpus.whole import whole_pictures
from triptych.v1 import clusterer_pb2, progress_event_pb2
from triptych_cluster.kept.wire import ReadKept
from triptych_common.correlation import caller_ids
from triptych_common.errors import ConfigurationError, InvalidRequestError
from triptych_common.media import ImageFailure, MediaRoots, Resolution, decode_image, display_path, uri_from_path
from triptych_common.media.failures import FAILURES
from triptych_common.media.object_names import object_root
from triptych_common.tracing.carrying import context_of
from triptych_gateway.api import schemas
from triptych_gateway.api.access.issuer import Issuer, IssuerAwayError
from triptych_gateway.api.access.rate_limits import network_of
from triptych_gateway.api.errors import ApiError
from triptych_gateway.api.parameters import _as_sent
from triptych_gateway.api.paths import named_path
from triptych_gateway.cli.rest.event_stream import ServerSentEvent, read_events
from triptych_gateway.cli.stack.record import StackRecord
from triptych_gateway.pipeline.discovery.listing import is_photo
from triptych_progress.messages import report_from_wire, session_to_wire
from triptych_progress.reducer import BadReportError
from triptych_progress.session import Session
from triptych_progress.snapshots import (
    Position,
    UnreadableSnapshotError,
    decode_position,
    decode_session,
    encode_position,
    encode_session,
)

MOST_PIXELS: Final = 1_000_000
_ROOTS: Final = MediaRoots(["/usr/share", "s3://bucket/photos"])
_MOMENT: Final = 1_768_212_000_000_000
_BODIES: Final = (schemas.SessionCreate, schemas.SearchRequest, schemas.DirectoryScan, schemas.SubdirectoryChoice)


@dataclass(frozen=True, kw_only=True)
class Parser:
    """One of them."""

    try_on: Callable[[bytes], None]
    seeds: Sequence[bytes]
    """What it reads in earnest: where searching for trouble begins."""


def _event(content: bytes) -> None:
    session = Session()
    try:
        report = report_from_wire(progress_event_pb2.ProgressEvent.FromString(content))
        session.apply(report, time_microseconds=_MOMENT)
    except (DecodeError, BadReportError):
        return
    _work_with(session)


def _work_with(session: Session) -> None:
    """All that an aggregator does with a session."""
    assert 0 <= session_to_wire(1, session).percentage <= 100
    session.tick(_MOMENT + 60_000_000)
    decode_session(encode_session(session, position=Position()))


def _snapshot(content: bytes) -> None:
    try:
        session, position = decode_session(content)
    except UnreadableSnapshotError:
        return
    encode_position(position)
    _work_with(session)


def _position(content: bytes) -> None:
    try:
        position = decode_position(content)
    except UnreadableSnapshotError:
        return
    assert decode_position(encode_position(position)) == position


def _uri(content: bytes) -> None:
    try:
        path = _ROOTS.check_uri(content.decode(errors="replace"))
    except ImageFailure as failure:
        assert failure.code == "path_not_allowed"
        return
    assert _ROOTS.check_uri(uri_from_path(path)) == path
    _ROOTS.resolve(path)


def _path(content: bytes) -> None:
    texts = [content.decode(errors="surrogateescape")]
    if len(content) % 2 == 0:
        # As JSON may have it: any code unit, also half of a pair.
        texts.append(content.decode("utf-16-le", errors="surrogatepass"))
    for text in texts:
        try:
            path = named_path(text, _ROOTS)
        except ApiError as error:
            assert error.code == "path_not_allowed"
        else:
            assert _ROOTS.resolve(path) is not None
            display_path(path).encode()


def _query(content: bytes) -> None:
    request = Request({"type": "http", "query_string": content, "headers": []})
    _as_sent(request, "/").encode(errors="surrogateescape")


def _object_root(content: bytes) -> None:
    try:
        object_root(content.decode(errors="replace"))
    except ConfigurationError:
        return


def _name(content: bytes) -> None:
    is_photo(content)
    display_path(content).encode()


def _trace(content: bytes) -> None:
    context_of(content.decode("latin-1"))
    caller_ids([("triptych-session", content.decode("latin-1")), ("triptych-run", content.decode(errors="replace"))])


def _address(content: bytes) -> None:
    assert isinstance(network_of(content.decode("latin-1")), str)


def _bearer(content: bytes) -> None:
    with contextlib.suppress(IssuerAwayError):
        assert asyncio.run(_issuer().find(content.decode("latin-1"))) is None


@cache
def _issuer() -> Issuer:
    issuer = Issuer(url="https://issuer", audience="a", keys_url=None, algorithms=("RS256",), claim="scope", prefix="")
    # No key is known, and none is asked for.
    issuer._tried_at = float("inf")
    return issuer


def _kept(content: bytes) -> None:
    kept = ReadKept(clusterer_pb2.KeptHeader(face_count=100, group_count=100), neighbour_count=4)
    try:
        kept.add_faces(clusterer_pb2.KeptFaceBatch.FromString(content))
        kept.add_groups(clusterer_pb2.KeptGroupBatch.FromString(content))
        state = kept.state()
    except (DecodeError, InvalidRequestError):
        return
    assert len(state.groups) == len(state.faces.ids)


def _events_of_a_stream(content: bytes) -> None:
    async def lines() -> AsyncIterator[str]:
        for line in content.decode(errors="replace").splitlines():
            yield line

    async def read() -> list[ServerSentEvent]:
        return [event async for event in read_events(lines())]

    asyncio.run(read())


def _body(content: bytes) -> None:
    for body in _BODIES:
        try:
            body.model_validate_json(content)
        except ValidationError:
            continue


def _record(content: bytes) -> None:
    with TemporaryDirectory(prefix="triptych-fuzz-") as directory:
        path = Path(directory) / "record"
        path.write_bytes(content)
        StackRecord.read(path)


def _picture(content: bytes) -> None:
    try:
        decoded = decode_image(content, resolution=Resolution(shortest_side_pixels=224), max_pixels=MOST_PIXELS)
    except ImageFailure as failure:
        assert failure.code in FAILURES
        return
    assert decoded.pixels.ndim == 3
    assert decoded.pixels.size


def _seed_of_a_session() -> Session:
    session = Session()
    for report in (
        progress_event_pb2.ProgressEvent.FromString(_LIFE),
        progress_event_pb2.ProgressEvent.FromString(_COUNTS),
        progress_event_pb2.ProgressEvent.FromString(_STAGE),
    ):
        session.apply(report_from_wire(report), time_microseconds=_MOMENT)
    return session


def _wire(**report: Any) -> bytes:
    return progress_event_pb2.ProgressEvent(session_id=1, run=1, **report).SerializeToString()


_LIFE: Final = _wire(
    phase="PHASE_TRAINING",
    lifecycle={"epoch": 1, "step": 1, "state": "RUN_STATE_RUNNING", "total": 64, "skipped": 3, "weight": 0.3},
)
_COUNTS: Final = _wire(phase="PHASE_TRAINING", unit="shard-3", counts={"done": 5, "failed": 1, "total": 16})
_STAGE: Final = _wire(phase="PHASE_CLUSTERING", unit="run", counts={"done": 5, "total": 16, "stage": "tree"})
_STORED: Final = encode_session(_seed_of_a_session(), position=Position(stream="2026", sequence=7))
_NEIGHBOURS: Final = clusterer_pb2.NeighbourLists(
    ids=[1, 2], counts=[1, 1], neighbour_ids=bytes(16), distances=bytes(8)
)
_FACES: Final = clusterer_pb2.KeptFaceBatch(
    neighbours=_NEIGHBOURS, components=[1, 1], component_marks=[5, 5], groups=[1, -1], probabilities=[0.5, 0]
).SerializeToString()

PARSERS: Final[Mapping[str, Parser]] = {
    "progress event": Parser(try_on=_event, seeds=[_LIFE, _COUNTS, _STAGE]),
    "snapshot": Parser(try_on=_snapshot, seeds=[_STORED]),
    "snapshot within": Parser(
        try_on=lambda content: _snapshot(zlib.compress(content, 1)), seeds=[zlib.decompress(_STORED)]
    ),
    "position": Parser(try_on=_position, seeds=[encode_position(Position(stream="2026", sequence=7))]),
    "uri": Parser(try_on=_uri, seeds=[b"file:///usr/share/a%20b.jpg", b"s3://bucket/photos/a.jpg", b"file://[::1]/a"]),
    "path": Parser(
        try_on=_path, seeds=[b"/usr/share/a\\xff.jpg", b"s3://bucket/photos/a", b"/usr/share/../share/\xff"]
    ),
    "query": Parser(try_on=_query, seeds=[b"path=%2Fusr%2Fshare%FF&page=1", b"path=a&path=b;path=c"]),
    "object root": Parser(try_on=_object_root, seeds=[b"s3://bucket/photos"]),
    "name": Parser(try_on=_name, seeds=[b"photo.JPG", b"\xff.heic"]),
    "trace context": Parser(try_on=_trace, seeds=[b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
    "address": Parser(try_on=_address, seeds=[b"192.0.2.1", b"2001:db8::1%eth0", b"::ffff:192.0.2.1"]),
    "bearer": Parser(try_on=_bearer, seeds=[b"eyJhbGciOiJub25lIn0.e30.", b"eyJhbGciOiJSUzI1NiIsImtpZCI6MX0.e30.YQ"]),
    "kept state": Parser(try_on=_kept, seeds=[_FACES]),
    "event stream": Parser(try_on=_events_of_a_stream, seeds=[b"id: 7\nevent: progress\ndata: {}\n\n: heartbeat\n\n"]),
    "request body": Parser(
        try_on=_body,
        seeds=[
            json.dumps({"name": "n", "rootPath": "/p", "config": {"extensions": [".jpg"], "batchSize": 8}}).encode(),
            b'{"text": "a dog", "limit": 5}',
            b'{"rootPath": "/p\\udcff", "recursive": true}',
        ],
    ),
    "record of a stack": Parser(
        try_on=_record,
        seeds=[
            b'{"process_id": 1, "http_url": "", "nats_url": "", "database_url": "", "media_roots": ["/p"], '
            b'"processes": {"nats": {"process_id": 1, "created_at": 1.0}}}'
        ],
    ),
    "picture": Parser(try_on=_picture, seeds=[whole.content for whole in whole_pictures().values()]),
}
"""By name."""
PIECES: Final = (
    *(b"null", b"true", b"-1", b"1e999", b"NaN", b"Infinity", b'""', b"[]", b"{}", b"%00", b"%ff", b"..", b"\0"),
    *(b"9" * 30, b"\xff" * 8, b"[" * 5000, b"\x80" * 10),
)
"""What breaks parsers, to be put into what they read."""
