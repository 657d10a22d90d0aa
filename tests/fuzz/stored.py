"""What a session has stored of each of its photos, by path."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.support.running_triptych import Triptych
from tests.support.stored_results import connected

NEAR: Final = 1e-4
"""How far numbers of two results of one photo may lie apart: a network adds in another order in other company."""
_STORED: Final = """
    SELECT a.id, a.path, s.status, s.error_code, s.error_message,
        ARRAY(SELECT e.embedding::text FROM embeddings e WHERE e.asset_id = a.id) AS embeddings,
        (SELECT count(*) FROM face_scans f WHERE f.asset_id = a.id) AS scans,
        ARRAY(SELECT ARRAY[f.x, f.y, f.width, f.height, f.score]::text || f.embedding::text FROM faces f
            WHERE f.asset_id = a.id ORDER BY f.position) AS faces
    FROM session_assets s JOIN assets a ON a.id = s.asset_id WHERE s.session_id = $1"""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What is stored of a photo."""

    asset_id: int
    status: str
    error_code: str | None
    error_message: str | None
    embeddings: Sequence[str]
    scans: int
    faces: Sequence[str]
    """Box, score and vector of each."""

    @property
    def end(self) -> str:
        """How it ended: as expectations call it."""
        return "embedded" if self.status == "completed" else self.error_code or self.status

    @property
    def results(self) -> tuple[int, int]:
        """How many embeddings it has, and how often it was searched for faces."""
        return len(self.embeddings), self.scans

    def is_as(self, other: "Stored") -> bool:
        """Whether both have the same result."""
        mine, others = self._numbers(), other._numbers()
        return len(mine) == len(others) and all(
            one.shape == two.shape and bool(np.allclose(one, two, atol=NEAR))
            for one, two in zip(mine, others, strict=True)
        )

    def _numbers(self) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
        texts = [*self.embeddings, *self.faces]
        return [np.fromstring(text.translate(_BRACKETS), sep=",") for text in texts]


_BRACKETS: Final = str.maketrans({"[": "", "]": "", "{": "", "}": ","})


async def stored_of(running: Triptych, session_id: int) -> dict[bytes, Stored]:
    """What a session has stored."""
    async with connected(running) as database:
        rows = await database.fetch(_STORED, session_id)
    return {
        row["path"]: Stored(
            asset_id=row["id"],
            status=row["status"],
            error_code=row["error_code"],
            error_message=row["error_message"],
            embeddings=row["embeddings"],
            scans=row["scans"],
            faces=row["faces"],
        )
        for row in rows
    }
