"""Gathers, before the first phase, what is known of how long each phase takes, and fixes the session's weights."""

import asyncio
from dataclasses import dataclass
from typing import Final

import grpc

from triptych_common.errors import AwayError
from triptych_common.logging import get_logger
from triptych_common.models.description import ModelInfo
from triptych_common.progress.durations import expected_seconds
from triptych_common.progress.evidence import Evidence, Timing, evidence_to_json
from triptych_common.rpc.channels import ReplicaPool
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.runs import expectations, history, lifecycle
from triptych_gateway.catalog.runs.expectations import Expected, FacesSeen
from triptych_gateway.catalog.sessions import sessions
from triptych_gateway.catalog.sessions.sessions import PHASES, Session, Weighting
from triptych_gateway.pipeline.estimates import clustering_forecast, probe
from triptych_gateway.pipeline.ownership import OwnedSession
from triptych_gateway.pipeline.photos.photo_services import PhotoService

log = get_logger(__name__)

MODEL_SECONDS: Final = 5.0
"""How long a service may take to name its model; one that is away leaves its phase without evidence until it begins."""
LEAST_WEIGHT: Final = 0.001
"""Least share of a phase in calibrated weights: its end is to be seen."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What was found out about one phase."""

    evidence: Evidence
    work: Expected


class Preparation:
    """The preparation of one session."""

    def __init__(
        self,
        owned: OwnedSession,
        *,
        photo_services: dict[str, PhotoService],
        clusterers: ReplicaPool,
        default_weighting: Weighting,
    ) -> None:
        self._owned = owned
        self._photo_services = photo_services
        self._clusterers = clusterers
        self._default_weighting: Weighting = default_weighting
        self._log = log.bind(session=owned.session_id)

    async def run(self, session: Session) -> None:
        """Announce evidence of every phase and final weights. Raises LeaseLostError, and what a lost database raises.

        Done once, and again where a phase was restarted: what is ahead is known anew, but weights that the session has
        begun with stay.
        """
        models = await self._models()
        prepared: dict[str, Prepared] = {}
        seen = FacesSeen()
        for phase, model in models.items():
            prepared[phase], found = await self._photo_phase(phase, model)
            seen = seen.and_also(found)
        faces_model = models.get("face_detection")
        if faces_model is not None:
            prepared["clustering"] = await self._clustering(faces_model, prepared["face_detection"].work, seen)
        async with self._owned.read() as connection:
            has_begun = await lifecycle.has_begun(connection, session.id)
        weights, weighting = dict(session.weights), session.weighting
        if not has_begun:
            weights, weighting = self._weights(session, prepared)
        async with self._owned.write() as connection:
            await sessions.mark_prepared(connection, session.id, weights=weights, weighting=weighting)
            latest = await lifecycle.latest_runs(connection, session.id)
            for phase in PHASES:
                evidence = prepared[phase].evidence if phase in prepared else Evidence()
                await lifecycle.update_run(connection, latest[phase].id, evidence=evidence_to_json(evidence))

    async def _models(self) -> dict[str, ModelInfo]:
        """The models of the services that answer, by phase."""
        models = {}
        for phase, service in self._photo_services.items():
            try:
                async with asyncio.timeout(MODEL_SECONDS):
                    models[phase] = await service.model()
            except (grpc.aio.AioRpcError, AwayError, TimeoutError) as error:
                self._log.warning("no evidence of a phase: its service does not answer", phase=phase, error=repr(error))
        return models

    async def _photo_phase(self, phase: str, model: ModelInfo) -> tuple[Prepared, FacesSeen]:
        service = self._photo_services[phase]
        async with self._owned.read() as connection:
            known = await history.recent(connection, phase=phase, model_id=model.model_id, device=model.device)
            run = (await lifecycle.latest_runs(connection, self._owned.session_id))[phase]
            work = await expectations.expect_photos(
                connection, run.session_id, phase=phase, model_id=model.model_id, generation=run.generation
            )
            probing = not known and work.items >= probe.LEAST_WORK
            items = await photos.spread_sample(
                connection, run.session_id, count=probe.photos_for(service.pool) if probing else 0
            )
        probed = await probe.probe_photos(service, items, model=model) if probing else probe.PhotoProbe()
        if probed.timings:
            self._log.info(
                "service probed", phase=phase, photos=len(items), seconds=round(probed.timings[0].seconds, 2)
            )
        return Prepared(evidence=_evidence(known, probed.timings, work), work=work), probed.seen

    async def _clustering(self, model: ModelInfo, scans: Expected, seen: FacesSeen) -> Prepared:
        async with self._owned.read() as connection:
            work = await expectations.expect_clustering(
                connection, model_id=model.model_id, photos=scans.items, probed=seen
            )
            known = (await clustering_forecast.expect(connection, model_id=model.model_id, faces=work.items)).history
        sizes = probe.clustering_sizes(known=known, expected_faces=work.items)
        timings = await probe.probe_clustering(self._clusterers, sizes, model=model)
        return Prepared(evidence=_evidence(known, timings, work), work=work)

    def _weights(self, session: Session, prepared: dict[str, Prepared]) -> tuple[dict[str, float], Weighting]:
        """The session's weights and how they were chosen: as configured, or shares of the expected time."""
        wanted = session.config.get("weighting") or self._default_weighting
        if wanted == "fixed":
            return dict(session.weights), "fixed"
        seconds = {
            phase: expected_seconds(phase, items=one.work.items, evidence=one.evidence)
            for phase, one in prepared.items()
        }
        weights = calibrate([seconds.get(phase) for phase in PHASES])
        if weights is None:
            self._log.warning("weights stay as configured: nothing is known of how long some phase takes")
            return dict(session.weights), "fixed"
        return dict(zip(PHASES, weights, strict=True)), "calibrated"


def calibrate(expected: list[float | None]) -> list[float] | None:
    """Shares of the expected seconds, each at least LEAST_WEIGHT, adding up to 1; None where one is not known."""
    seconds = [one for one in expected if one is not None]
    if len(seconds) < len(expected) or sum(seconds) <= 0:
        return None
    shares = [one / sum(seconds) for one in seconds]
    # What the least ones are given is taken from the others in proportion.
    ample = sum(share for share in shares if share > LEAST_WEIGHT)
    left = 1 - LEAST_WEIGHT * sum(share <= LEAST_WEIGHT for share in shares)
    return [share * left / ample if share > LEAST_WEIGHT else LEAST_WEIGHT for share in shares]


def _evidence(known: tuple[Timing, ...], probed: tuple[Timing, ...], work: Expected) -> Evidence:
    return Evidence(history=known, probe=probed, expected_items=work.items, expected_items_spread=work.spread)
