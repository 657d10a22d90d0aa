"""Photos that are like another one, or like a text: the nearest embeddings of one model.

Two ways lead there. A *walk* takes the nearest vectors of the model's table in order, by its graph where it has one,
and keeps what is shown and passes the filter; it goes on until there is enough. Where a filter leaves few photos those
are compared one by one instead. Either way the answer's scores are of the embeddings themselves, and what
`embeddings`, `assets` and the filter's own tables say at that moment decides what is shown.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.library.photos import Asset, asset_from_row
from triptych_gateway.catalog.schema import LIVE_GENERATION
from triptych_gateway.catalog.search.search_spaces import SearchSpace, find_space

_SHOWN: Final = f"""
    assets a JOIN embeddings e ON e.asset_id = a.id AND e.asset_version = a.version AND a.missing_at IS NULL
        AND e.generation = {LIVE_GENERATION}"""
_HAS_PERSON: Final = (
    "EXISTS (SELECT 1 FROM face_places p WHERE p.asset_id = a.id AND p.person_id = :person_id AND p.shown)"
)
_HAS_SESSION: Final = "EXISTS (SELECT 1 FROM session_assets s WHERE s.asset_id = a.id AND s.session_id = :session_id)"
_OF_PERSON: Final = "SELECT DISTINCT asset_id FROM face_places WHERE person_id = :person_id AND shown"
_OF_SESSION: Final = "SELECT asset_id FROM session_assets WHERE session_id = :session_id"
_ALL: Final = f"SELECT asset_id FROM embeddings WHERE model_id = :model_id AND generation = {LIVE_GENERATION}"  # noqa: S608

_SPARE: Final = 50
"""Vectors that a walk takes beside those asked for: some are not shown, and half precision may swap neighbours."""
_MOST_WALKED: Final = 20_000
"""Vectors after which a walk gives up: what passes the filter is far away, and is found quicker by looking at it."""
_FURTHER: Final = 4
_WALK_COST: Final = 5.0
"""A step of a walk with its look at the filter, in comparisons of a photo that is known to pass it (measured)."""
_ALWAYS_COMPARED: Final = 5_000
"""Photos that are compared one by one, however short a walk might be: that takes 30 ms and misses none."""
_LEAST_EF: Final = 100
_MOST_EF: Final = 1000
"""Candidates that pgvector holds while it walks (`hnsw.ef_search`); more are taken by going on."""
_MOST_WAITING: Final = 5_000
"""Photos that wait for the table and are compared one by one with each search."""
_AS_ASKED: Final = {"plan_cache_mode": "force_custom_plan"}
"""A plan for these values: a person may have one photo or most."""
_BY_KEY: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
"""Planner settings where few rows of large tables are wanted, and those by their keys."""
_REPLACED: Final = "42P01"
"""SQLSTATE of a table that is not there: another one has taken its place since its name was read."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """A photo that was found."""

    asset: Asset
    score: float
    """Cosine similarity, -1..1; 1 is the same."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which photos may be found; None is all."""

    person_id: int | None = None
    """With a face of this person."""
    session_id: int | None = None
    """Of this session."""
    except_for: int | None = None
    """Not this photo."""

    def conditions(self) -> str:
        """For a query that has `assets` as ``a``; begins with AND where there is one."""
        return "".join(
            f" AND {condition}"
            for condition, value in (
                ("a.id <> :except_for", self.except_for),
                (_HAS_PERSON, self.person_id),
                (_HAS_SESSION, self.session_id),
            )
            if value is not None
        )

    def parameters(self) -> dict[str, int]:
        """Values for the conditions."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What is looked for, and where."""

    model_id: str
    vector: NDArray[np.float32]
    limit: int
    only: Filter

    def parameters(self) -> dict[str, Any]:
        return {"model_id": self.model_id, "vector": self.vector, "limit": self.limit, **self.only.parameters()}


async def embedding_of(connection: AsyncConnection, asset_id: int, *, model_id: str) -> NDArray[np.float32] | None:
    """A photo's vector [d] by that model; None where it has none. Raises NotFoundError for an unknown photo."""
    row = (
        await connection.execute(
            text(f"""
                SELECT (SELECT e.embedding FROM {_SHOWN} WHERE a.id = k.id AND e.model_id = :model_id) AS vector
                FROM assets k WHERE k.id = :asset_id"""),  # noqa: S608 - constants
            {"model_id": model_id, "asset_id": asset_id},
        )
    ).first()
    if row is None:
        raise NotFoundError(f"There is no photo {asset_id}.")
    return None if row.vector is None else row.vector.to_numpy()


async def models_of(connection: AsyncConnection, asset_id: int) -> list[str]:
    """Models by which a photo has a vector that is shown."""
    rows = await connection.execute(
        text(f"SELECT e.model_id FROM {_SHOWN} WHERE a.id = :asset_id ORDER BY e.model_id"),  # noqa: S608 - constants
        {"asset_id": asset_id},
    )
    return list(rows.scalars())


async def last_model(connection: AsyncConnection) -> str | None:
    """The model that trained last: the space that is searched while the embedder is away. None before the first."""
    found: str | None = (
        await connection.execute(
            text("""
                SELECT model ->> 'id' FROM runs WHERE phase = 'training' AND model IS NOT NULL
                ORDER BY started_at DESC NULLS LAST LIMIT 1""")
        )
    ).scalar()
    return found


async def nearest(
    connection: AsyncConnection,
    vector: NDArray[np.float32],
    *,
    model_id: str,
    limit: int,
    only: Filter,
) -> list[Match]:
    """The photos whose vectors of that model are nearest by cosine, the most alike first.

    The transaction of the connection has only read and will only read rows by their keys: planner settings are changed
    in it, and it is begun anew where the table that is searched was replaced meanwhile.
    """
    question = _Question(model_id=model_id, vector=vector, limit=limit, only=only)
    try:
        return await _nearest(connection, question)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _REPLACED:
            raise
        await connection.rollback()
        return await _nearest(connection, question)


async def _nearest(connection: AsyncConnection, question: _Question) -> list[Match]:
    space = await find_space(connection, question.model_id)
    chosen = await _chosen(connection, question.only)
    if chosen is not None and chosen.most == 0:
        return []
    if space is not None and space.table is not None and not _is_few(space, chosen, limit=question.limit):
        found = await _walk(connection, question, space, chosen)
        if found is not None:
            return found
    return await _compare(connection, question, chosen)


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The photos that a filter leaves, without having looked at them."""

    most: int
    """There are no more of them than this."""
    source: str
    """Where to begin to look for them: the smaller of the filter's lists."""
    left: Filter
    """What remains to be looked at in those of the source."""


async def _chosen(connection: AsyncConnection, only: Filter) -> _Chosen | None:
    """How many photos pass a filter at most, out of counters; None where all do."""
    if only.person_id is None and only.session_id is None:
        return None
    row = (
        await connection.execute(
            text("""
                SELECT
                    (SELECT asset_count FROM persons WHERE id = CAST(:person_id AS bigint)) AS of_person,
                    (SELECT sum(count) FROM session_job_counts WHERE session_id = CAST(:session_id AS bigint))
                        AS of_session,
                    (SELECT face_count FROM session_persons WHERE session_id = CAST(:session_id AS bigint)
                        AND person_id = CAST(:person_id AS bigint)) AS of_both"""),
            {"person_id": only.person_id, "session_id": only.session_id},
        )
    ).one()
    of_person, of_session, of_both = (int(count or 0) for count in row)
    by_person = only.session_id is None or (only.person_id is not None and of_person <= of_session)
    if only.session_id is None:
        most = of_person
    elif only.person_id is None:
        most = of_session
    else:
        most = min(of_person, of_session, of_both)
    return _Chosen(
        most=most,
        source=_OF_PERSON if by_person else _OF_SESSION,
        left=replace(only, person_id=None) if by_person else replace(only, session_id=None),
    )


def _is_few(space: SearchSpace, chosen: _Chosen | None, *, limit: int) -> bool:
    """Whether looking at each photo that a filter leaves costs less than walking until enough of them are met.

    A walk takes ``limit * photos / chosen`` steps, if those that pass lie anywhere.
    """
    if chosen is None:
        return False
    return chosen.most <= _ALWAYS_COMPARED or chosen.most**2 <= _WALK_COST * limit * space.photo_count


async def _walk(
    connection: AsyncConnection, question: _Question, space: SearchSpace, chosen: _Chosen | None
) -> list[Match] | None:
    """What the nearest vectors of the table give, further and further; None where they do not give enough."""
    share = 1.0 if chosen is None or space.photo_count == 0 else min(1.0, chosen.most / space.photo_count)
    steps = math.ceil(question.limit / share) + _SPARE
    while True:
        whole = steps >= space.photo_count
        found = await _step(connection, question, space, steps=steps)
        if len(found) >= question.limit or (whole and not space.has_graph):
            return found
        if whole or steps >= _MOST_WALKED:
            return None
        steps = min(steps * _FURTHER, _MOST_WALKED)


async def _step(connection: AsyncConnection, question: _Question, space: SearchSpace, *, steps: int) -> list[Match]:
    """The best of so many nearest vectors of the table, and of the photos that wait for it."""
    await _set(
        connection,
        {
            "hnsw.iterative_scan": "relaxed_order",
            # The last of what is taken are missed more often than the first.
            "hnsw.ef_search": str(min(max(2 * steps, _LEAST_EF), _MOST_EF)),
            "hnsw.max_scan_tuples": str(_MOST_WALKED * _FURTHER),
            "hnsw.scan_mem_multiplier": "16",
            **_AS_ASKED,
            # Without a graph the table is read from end to end.
            **(_BY_KEY if space.has_graph else {}),
        },
    )
    # The number is written out, for the planner to see how few are wanted.
    candidates = f"""
        (SELECT asset_id FROM {space.table}
            ORDER BY vector <=> CAST(l2_normalize(CAST(:vector AS vector)) AS halfvec({space.dimension:d}))
            LIMIT {steps:d})
        UNION (SELECT asset_id FROM search_queue WHERE model_id = :model_id LIMIT {_MOST_WAITING})"""  # noqa: S608
    return await _best(connection, question, candidates, only=question.only)


async def _compare(connection: AsyncConnection, question: _Question, chosen: _Chosen | None) -> list[Match]:
    """The nearest of the chosen photos, or of all, each looked at."""
    if chosen is None:
        return await _best(connection, question, _ALL, only=question.only)
    # They are few beside the whole: the planner must not read all embeddings for them.
    await _set(connection, _AS_ASKED | _BY_KEY)
    return await _best(connection, question, chosen.source, only=chosen.left)


async def _best(connection: AsyncConnection, question: _Question, candidates: str, *, only: Filter) -> list[Match]:
    """The nearest of the candidates that are shown and pass the filter, by their embeddings."""
    rows = await connection.execute(
        text(f"""
            WITH candidates AS MATERIALIZED ({candidates}),
            best AS (
                SELECT a.id, e.embedding <=> CAST(:vector AS vector) AS distance
                FROM candidates c JOIN ({_SHOWN}) ON a.id = c.asset_id
                WHERE e.model_id = :model_id{only.conditions()}
                ORDER BY distance, a.id LIMIT :limit)
            SELECT a.*, 1 - b.distance AS score FROM best b JOIN assets a ON a.id = b.id
            ORDER BY b.distance, a.id"""),  # noqa: S608 - of this module
        question.parameters(),
    )
    # A vector of length zero is like nothing.
    return [Match(asset=asset_from_row(row), score=row.score) for row in rows if not math.isnan(row.score)]


async def _set(connection: AsyncConnection, settings: Mapping[str, str]) -> None:
    """Change settings of the database until the transaction ends."""
    calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
    await connection.execute(text(f"SELECT {calls}"))
