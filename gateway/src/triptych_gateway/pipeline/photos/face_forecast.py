"""Tells, while photos are searched for faces, how many clustering will have: it takes longer the more there are."""

import asyncio
from dataclasses import replace
from typing import Final

from triptych_common.progress.evidence import evidence_from_json, evidence_to_json
from triptych_gateway.catalog.runs import expectations, lifecycle
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.pipeline.ownership import OwnedSession

STEP: Final = 0.05
"""Share of the photos after which the forecast is made anew."""


class FaceForecast:
    """The forecast for the session of one face-detection run."""

    def __init__(self, session: OwnedSession, run: Run, *, model_id: str) -> None:
        self._session = session
        self._run = run
        self._model_id = model_id
        self._announced_at = (run.done + run.failed + run.skipped) / max(run.total, 1)
        self._busy = asyncio.Lock()

    async def renew(self) -> None:
        """Announce a new forecast, if enough photos were looked at since the last.

        Raises LeaseLostError, and what a lost database raises.
        """
        if self._busy.locked():
            return
        async with self._busy, self._session.write() as connection:
            latest = await lifecycle.latest_runs(connection, self._run.session_id)
            detection, clustering = latest["face_detection"], latest["clustering"]
            looked_at = detection.done + detection.failed + detection.skipped
            share = looked_at / max(detection.total, 1)
            if clustering.status != "pending" or share < self._announced_at + STEP:
                return
            faces = await expectations.expect_clustering(
                connection, model_id=self._model_id, photos=detection.total - looked_at
            )
            known = evidence_from_json(clustering.evidence)
            await lifecycle.update_run(
                connection,
                clustering.id,
                evidence=evidence_to_json(
                    replace(known, expected_items=faces.items, expected_items_spread=faces.spread)
                ),
            )
            self._announced_at = share
