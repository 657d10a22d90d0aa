"""Writing what the services found: embeddings, faces, and each photo's outcome, in one transaction per message."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, insert, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.people import kept_out, places
from triptych_gateway.catalog.runs.lifecycle import NEXT_MOMENT, Run
from triptych_gateway.catalog.runs.shards import ShardItem
from triptych_gateway.catalog.schema import LIVE_GENERATION, embeddings, face_scans, faces, sessions

# Built once: it costs more to build such a statement than to send it.
_new_embedding = upsert(embeddings)
_STORE_EMBEDDING = _new_embedding.on_conflict_do_update(
    index_elements=["asset_id", "model_id", "generation"],
    set_={
        "embedding": _new_embedding.excluded.embedding,
        "asset_version": _new_embedding.excluded.asset_version,
    },
)
_new_scan = upsert(face_scans)
_STORE_SCAN = _new_scan.on_conflict_do_update(
    index_elements=["asset_id", "model_id", "generation"],
    set_={"face_count": _new_scan.excluded.face_count, "asset_version": _new_scan.excluded.asset_version},
)


@dataclass(frozen=True, kw_only=True)
class PhotoFacts:
    """What decoding taught about a photo's file."""

    content_sha256: bytes
    width: int
    height: int
    taken_at: str


@dataclass(frozen=True, kw_only=True)
class PhotoError:
    """Why a photo has no result."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class FoundFace:
    """A face, in shares of the upright photo."""

    x: float
    y: float
    width: float
    height: float
    landmarks: tuple[tuple[float, float], ...]
    score: float
    embedding: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one photo: a vector (training), faces (face detection) or an error."""

    item: ShardItem
    result: NDArray[np.float32] | tuple[FoundFace, ...] | PhotoError
    facts: PhotoFacts | None
    processing_microseconds: int


async def write_outcomes(connection: AsyncConnection, run: Run, outcomes: Sequence[Outcome], *, model_id: str) -> None:
    """Store the outcomes of a micro-batch. Writing one twice changes nothing. The caller has checked its lease."""
    # A service that names a photo twice in a message is believed once.
    outcomes = list({outcome.item.ordinal: outcome for outcome in outcomes}.values())
    fresh = await _settle_items(connection, run, outcomes)
    kept = [outcome for outcome in outcomes if outcome.item.ordinal in fresh]
    if not kept:
        return
    found = 0
    good = [outcome for outcome in kept if not isinstance(outcome.result, PhotoError)]
    if good and run.phase == "training":
        await _write_embeddings(connection, run, good, model_id=model_id)
    elif good:
        found = await _write_faces(connection, run, good, model_id=model_id)
    await _settle_jobs(connection, run, kept)
    await _write_facts(connection, kept)
    await connection.execute(
        text("UPDATE runs SET done = done + :done, failed = failed + :failed, found = found + :found WHERE id = :id"),
        {"id": run.id, "done": len(good), "failed": len(kept) - len(good), "found": found},
    )
    # So that those who follow the session see it move while the progress service is away.
    await connection.execute(update(sessions).where(sessions.c.id == run.session_id).values(updated_at=NEXT_MOMENT))


async def _settle_items(connection: AsyncConnection, run: Run, outcomes: Sequence[Outcome]) -> set[int]:
    """Mark items as done or failed; returns the ordinals that were not settled before."""
    if not outcomes:
        return set()
    ordinals = [outcome.item.ordinal for outcome in outcomes]
    rows = await connection.execute(
        # The bounds keep PostgreSQL to the shard: of a run that was just planned it takes all rows for a few.
        text("""
            UPDATE run_items i SET state = o.state
            FROM unnest(CAST(:ordinals AS integer[]), CAST(:states AS text[])) AS o(ordinal, state)
            WHERE i.run_id = :run_id AND i.ordinal BETWEEN :first AND :last AND i.ordinal = o.ordinal
                AND i.state = 'pending'
            RETURNING i.ordinal"""),
        {
            "run_id": run.id,
            "first": min(ordinals),
            "last": max(ordinals),
            "ordinals": ordinals,
            "states": ["failed" if isinstance(outcome.result, PhotoError) else "done" for outcome in outcomes],
        },
    )
    return {row.ordinal for row in rows}


async def _write_embeddings(
    connection: AsyncConnection, run: Run, outcomes: Sequence[Outcome], *, model_id: str
) -> None:
    await connection.execute(
        _STORE_EMBEDDING,
        [
            {**_key(outcome, run, model_id), "asset_version": outcome.item.asset_version, "embedding": outcome.result}
            for outcome in outcomes
        ],
    )
    await connection.execute(
        text("""
            UPDATE assets a SET trained_at = now()
            FROM unnest(CAST(:ids AS bigint[]), CAST(:versions AS integer[])) AS o(id, version)
            WHERE a.id = o.id AND a.version = o.version"""),
        {
            "ids": [outcome.item.asset_id for outcome in outcomes],
            "versions": [outcome.item.asset_version for outcome in outcomes],
        },
    )


async def _write_faces(connection: AsyncConnection, run: Run, outcomes: Sequence[Outcome], *, model_id: str) -> int:
    """Replace the photos' faces of this model and generation; returns how many faces there are.

    Faces where none is to be stored are left out before anything is written.
    """
    if run.generation == LIVE_GENERATION:
        await places.vacate(connection, [outcome.item.asset_id for outcome in outcomes], model_id=model_id)
    await connection.execute(
        delete(faces).where(
            faces.c.asset_id.in_([outcome.item.asset_id for outcome in outcomes]),
            faces.c.model_id == model_id,
            faces.c.generation == run.generation,
        )
    )
    places_out = await kept_out.kept_out_of(
        connection, {outcome.item.asset_id: outcome.item.asset_version for outcome in outcomes}
    )
    scans, rows = [], []
    for outcome in outcomes:
        assert isinstance(outcome.result, tuple)  # noqa: S101 - the caller sorted the outcomes by phase
        key = _key(outcome, run, model_id)
        boxes = places_out.get(outcome.item.asset_id, ())
        stored = [face for face in outcome.result if not kept_out.is_kept_out(face, boxes)]
        scans.append({**key, "asset_version": outcome.item.asset_version, "face_count": len(stored)})
        rows += [{**key, "position": position, **vars(face)} for position, face in enumerate(stored)]
    await connection.execute(_STORE_SCAN, scans)
    if rows:
        await connection.execute(insert(faces), rows)
    return len(rows)


def _key(outcome: Outcome, run: Run, model_id: str) -> dict[str, object]:
    return {"asset_id": outcome.item.asset_id, "model_id": model_id, "generation": run.generation}


async def _settle_jobs(connection: AsyncConnection, run: Run, outcomes: Sequence[Outcome]) -> None:
    """Record each photo's outcome in the session's list: failed once any phase failed on it."""
    errors = [outcome.result if isinstance(outcome.result, PhotoError) else None for outcome in outcomes]
    await connection.execute(
        text("""
            UPDATE session_assets s SET
                status = CASE WHEN o.code IS NOT NULL THEN 'failed'
                              WHEN :phase = 'training' THEN 'completed' ELSE s.status END,
                error_phase = CASE WHEN o.code IS NOT NULL AND s.error_code IS NULL THEN :phase ELSE s.error_phase END,
                error_code = coalesce(s.error_code, o.code),
                error_message = coalesce(s.error_message, o.message),
                processing_microseconds = coalesce(s.processing_microseconds, 0) + o.microseconds,
                completed_at = now()
            FROM unnest(CAST(:assets AS bigint[]), CAST(:codes AS text[]), CAST(:messages AS text[]),
                        CAST(:microseconds AS bigint[])) AS o(asset_id, code, message, microseconds)
            WHERE s.session_id = :session_id AND s.asset_id = o.asset_id"""),
        {
            "session_id": run.session_id,
            "phase": run.phase,
            "assets": [outcome.item.asset_id for outcome in outcomes],
            "codes": [error.code if error else None for error in errors],
            # PostgreSQL's text holds no NUL, and a sentence may quote what a file holds.
            "messages": [error.message.replace("\0", "\ufffd") if error else None for error in errors],
            "microseconds": [outcome.processing_microseconds for outcome in outcomes],
        },
    )


async def _write_facts(connection: AsyncConnection, outcomes: Sequence[Outcome]) -> None:
    # Of the version that was decoded: where the file has changed since, they are not those of the photo any more.
    known = [(outcome.item, outcome.facts) for outcome in outcomes if outcome.facts is not None]
    await connection.execute(
        text("""
            UPDATE assets a SET content_sha256 = f.sha256, width = f.width, height = f.height,
                taken_at = nullif(f.taken_at, '')
            FROM unnest(CAST(:assets AS bigint[]), CAST(:versions AS integer[]), CAST(:hashes AS bytea[]),
                        CAST(:widths AS integer[]), CAST(:heights AS integer[]), CAST(:taken AS text[]))
                AS f(asset_id, version, sha256, width, height, taken_at)
            WHERE a.id = f.asset_id AND a.version = f.version"""),
        {
            "assets": [item.asset_id for item, _ in known],
            "versions": [item.asset_version for item, _ in known],
            "hashes": [facts.content_sha256 for _, facts in known],
            "widths": [facts.width for _, facts in known],
            "heights": [facts.height for _, facts in known],
            "taken": [facts.taken_at for _, facts in known],
        },
    )
