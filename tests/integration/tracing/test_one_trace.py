"""One trace leads from the request that starts a session to the micro-batch that a photo was in, and to its report."""

import asyncio
import json
import re
import secrets
from pathlib import Path

import pytest
from PIL import Image

from tests.support import running_workers
from tests.support.real_servers import wait_for
from tests.support.running_workers import stop, until_serving
from tests.support.scripted_stack import Servers, Watch
from tests.support.span_receiver import ReceivedSpan, span_receiver

PHOTOS = 6
START = "POST /api/v1/training/sessions/{session_id}/start"
WAY = ["inference", "EmbedImages", "call", "shard", "phase", "session", START]
"""From a micro-batch up to the request."""


def way_up(spans: list[ReceivedSpan], span: ReceivedSpan) -> list[str]:
    """Names from a span up to the first that has no parent here."""
    by_id = {one.span_id: one for one in spans}
    names = [span.name]
    while span.parent_id in by_id:
        span = by_id[span.parent_id]
        names.append(span.name)
    return names


# Four processes and a model, on a machine that may have much else to do.
@pytest.mark.timeout(600)
def test_a_photo_is_followed_from_the_request_to_the_micro_batch_and_its_report(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_id, parent_id = secrets.token_hex(16), secrets.token_hex(8)
    media = servers.folder / "media"
    album = media / "Grandma's birthday"
    album.mkdir(parents=True)
    for number in range(PHOTOS):
        Image.new("RGB", (320, 240), (40 * number, 80, 120)).save(album / f"cake {number}.jpg")
    workers = running_workers.Stack(nats_url=servers.nats_url, media=media, folder=tmp_path)

    with span_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        embedder = workers.start("embedder")
        try:
            asyncio.run(until_serving(embedder))
            with servers.stack(TRIPTYCH_EMBEDDER_ADDRESSES=embedder.address) as stack:
                session_id = stack.gateway.create(stack.client, album)
                started = stack.client.post(
                    f"/api/v1/training/sessions/{session_id}/start",
                    headers={"traceparent": f"00-{trace_id}-{parent_id}-01"},
                )
                assert started.status_code == 200
                Watch(stack, session_id).until("completed")
                listed = stack.client.get(
                    "/api/v1/training/directories",
                    params={"path": str(album)},
                    headers={"traceparent": f"00-{trace_id}-{parent_id}-01"},
                )
                assert listed.status_code < 500
                needed = {*WAY, "decode", "store", "discovery", "progress event"}
                wait_for(lambda: needed <= {one.name for one in receiver.spans(trace_id)}, f"spans: {needed}")

                def is_whole() -> bool:
                    spans = receiver.spans(trace_id)
                    return any(way_up(spans, one) == WAY for one in spans)

                wait_for(is_whole, "the whole way from a micro-batch up to the request")
                gateway_log = stack.gateway.log.read_text()
        finally:
            stop(embedder.process)
        spans = receiver.spans(trace_id)

    request = next(one for one in spans if one.name == START)
    assert request.parent_id == parent_id
    inferred = [one for one in spans if one.name == "inference"]
    assert {one.service for one in inferred} == {"triptych-embedder"}
    assert sorted(n for one in inferred for n in one.attributes["ordinals"]) == list(range(PHOTOS))
    calls = {one.span_id: one for one in spans if one.name == "call"}
    of_embedder = {one.parent_id for one in spans if one.name == "EmbedImages"}
    assets = [asset for call in of_embedder for asset in calls[call].attributes["assets"]]
    assert len(set(assets)) == PHOTOS, "each photo is told by its id"
    reported = [one for one in spans if one.name == "progress event" and way_up(spans, one)[1:] == WAY[1:]]
    assert reported, "the report of the shard is a part of it, as the progress service folds it"
    assert {one.service for one in reported} == {"triptych-progress"}
    told = b"".join(one.content for one in spans)
    assert b"cake" not in told
    assert b"Grandma" not in told
    assert str(tmp_path).encode() not in told
    lines = [json.loads(line) for line in gateway_log.splitlines() if line.startswith("{")]
    [taken] = [line for line in lines if line["event"] == "phase completed" and line.get("phase") == "training"]
    assert taken["trace_id"] == trace_id
    assert re.fullmatch("[0-9a-f]{16}", taken["span_id"])
