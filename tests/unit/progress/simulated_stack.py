"""A session and all that carries its progress: what it lives through are the methods of `SimulatedStack`."""

from collections.abc import Sequence
from datetime import timedelta
from random import Random

from tests.unit.progress.simulated_parts import (
    BEGINNING,
    SECOND,
    SHARD_PHOTOS,
    STAGES,
    STARTABLE,
    Catalogue,
    Flight,
    Gateway,
    Message,
    Replica,
    Shard,
    Skews,
    Store,
    Time,
    Worker,
    event_of,
)
from triptych_gateway.catalog.states import SessionStatus
from triptych_progress.reducer import PHASES, Phase


class SimulatedStack:
    """One session, and what it may live through."""

    def __init__(
        self, *, photos: int, faces: int, skipped: int = 0, replicas: int = 3, skews: Skews | None = None
    ) -> None:
        known = skews or Skews()
        self.photos = photos
        self.faces = faces
        self.time = Time()
        self.catalogue = Catalogue(self.time, skew_seconds=known.database)
        self.workers = [Worker(number=number, skew_seconds=skew) for number, skew in enumerate(known.workers)]
        self.flights: list[Flight] = []
        self.stream: list[Message] = []
        self.store = Store()
        self.replicas = [Replica(self.stream, self.store) for _ in range(replicas)]
        self.gateways = [Gateway(self.time, self.catalogue, skew_seconds=skew) for skew in known.gateways]
        self.completed: set[tuple[Phase, int]] = set()
        """Phases and their runs that the catalogue has ever held as completed."""
        self._known_already = {"training": skipped, "face_detection": skipped, "clustering": 0}
        self._grouped = 0
        """Faces that the present attempt at clustering has done."""
        self._is_begun = False
        """Whether the gateway that runs the session now has taken up the phase ahead."""
        self._is_taken = False
        """Whether a gateway runs it at all."""

    # The session's way

    def start(self) -> None:
        """A person starts the session, or lets it go on."""
        if self.catalogue.session.status == "failed":
            self._renew_failed()
        self._is_taken = self._is_begun = False
        started = self.catalogue.session.started_at or self.catalogue.now
        self.catalogue.change_session("running", started_at=started, paused_at=None, completed_at=None)
        self._announce_all()

    def _renew_failed(self) -> None:
        phase = self.catalogue.phase_ahead
        run = self.catalogue.runs[phase]
        if run.status == "failed":
            done = run.skipped + run.done if phase != "clustering" else 0
            self._known_already[phase] = done
            self.catalogue.renew(phase, total=run.total if phase != "clustering" else 0, skipped=done)

    def restart(self, phase: Phase, *, keep_done: bool) -> None:
        """A person restarts a phase of a session that is over: from what needs no redoing, later phases pending."""
        if phase == "clustering" or not keep_done:
            self._known_already[phase] = 0
        else:
            run = self.catalogue.runs[phase]
            self._known_already[phase] = run.skipped + run.done
        for later in PHASES[PHASES.index(phase) :]:
            known = self._known_already[phase] if later == phase else 0
            self._known_already[later] = known
            self.catalogue.renew(later, total=self.photos if known else 0, skipped=known)
        self._is_taken = self._is_begun = False
        self.catalogue.change_session("running", completed_at=None)
        self._announce_all()

    def hold(self, status: SessionStatus) -> None:
        """A person pauses or cancels the session; calls in flight end."""
        assert status in ("paused", "cancelled")
        phase = self.catalogue.phase_ahead
        if self.catalogue.runs[phase].status == "running":
            self.catalogue.change_run(phase, status)
        moment = "paused_at" if status == "paused" else "completed_at"
        self.catalogue.change_session(status, **{moment: self.catalogue.now})
        self._is_begun = False

    def fail(self) -> None:
        """The phase ahead raises."""
        self.catalogue.change_run(
            self.catalogue.phase_ahead, "failed", error_code="it_raised", error_message="It raised."
        )
        self.catalogue.change_session("failed", completed_at=self.catalogue.now)
        self._is_begun = False

    def go_on(self, *, worker: int, shard: int, outcomes: Sequence[bool], lost: int = 0, publish: bool = False) -> None:
        """The pipeline's next step: take up the phase ahead, have a worker do some of a shard, or complete the phase.

        ``outcomes`` are those of the photos, one a second; the answers of the last ``lost`` of them never reach the
        gateway. ``publish``: whether the worker reports after each, and not only the newest some time later.
        """
        phase = self.catalogue.phase_ahead
        if not self._is_begun:
            self._begin(phase)
        elif phase == "clustering":
            self._group(self.workers[worker], len(outcomes), is_lost=lost > 0, publish=publish)
        else:
            self._look_at(phase, self.workers[worker], shard, outcomes, lost=lost, publish=publish)

    def _begin(self, phase: Phase) -> None:
        if not self._is_taken:
            self._announce_all()
        self._is_taken = self._is_begun = True
        self._grouped = 0
        run = self.catalogue.runs[phase]
        if phase == "clustering":
            self.catalogue.change_run(phase, "running", total=self.faces, started_at=self.catalogue.now)
            return
        if phase in self.catalogue.shards:
            self.catalogue.change_run(phase, "running")
            for one in self.catalogue.shards[phase]:
                self.catalogue.announce_shard(phase, one)
            return
        skipped = min(self._known_already[phase], self.photos)
        left = self.photos - skipped
        self.catalogue.shards[phase] = [
            Shard(ordinal=ordinal, size=min(SHARD_PHOTOS, left - start))
            for ordinal, start in enumerate(range(0, left, SHARD_PHOTOS))
        ]
        started = run.started_at or self.catalogue.now
        self.catalogue.change_run(phase, "running", total=self.photos, skipped=skipped, started_at=started)

    def _look_at(
        self, phase: Phase, worker: Worker, which: int, outcomes: Sequence[bool], *, lost: int, publish: bool
    ) -> None:
        unfinished = [shard for shard in self.catalogue.shards[phase] if shard.left]
        if not unfinished:
            self._complete(phase)
            return
        shard = unfinished[which % len(unfinished)]
        done, failed = shard.done, shard.failed
        photos = outcomes[: shard.left]
        for number, is_good in enumerate(photos):
            self.time.passes(1)
            done, failed = done + is_good, failed + (not is_good)
            self._report(worker, phase, f"shard-{shard.ordinal}", done, failed, total=shard.size)
            if publish:
                self.publish(worker.number)
            if number < len(photos) - lost:
                self.catalogue.store(phase, shard, is_good=is_good)
        if not shard.left:
            self.catalogue.announce_shard(phase, shard)

    def _group(self, worker: Worker, steps: int, *, is_lost: bool, publish: bool) -> None:
        total = self.catalogue.runs["clustering"].total
        for _ in range(min(steps, total - self._grouped)):
            self.time.passes(1)
            self._grouped += 1
            stage = STAGES[self._grouped * (len(STAGES) - 1) // total]
            self._report(worker, "clustering", "clustering", self._grouped, 0, total=total, stage=stage)
            if publish:
                self.publish(worker.number)
        if is_lost:
            # A grouping that is broken off has brought nothing: it begins again.
            self._grouped = 0
        elif self._grouped == total:
            self._complete("clustering")

    def _report(
        self, worker: Worker, phase: Phase, unit: str, done: int, failed: int, *, total: int, stage: str = ""
    ) -> None:
        number = self.catalogue.runs[phase].number
        at = self.time.now + timedelta(seconds=worker.skew_seconds)
        event = event_of(phase, number, source=f"worker {worker.number}", at=at)
        event.unit = unit
        event.counts.done, event.counts.failed, event.counts.total, event.counts.stage = done, failed, total, stage
        worker.report(event)

    def _complete(self, phase: Phase) -> None:
        self._is_begun = False
        run = self.catalogue.runs[phase]
        done = run.total if phase == "clustering" else run.done
        self.catalogue.change_run(phase, "completed", done=done, completed_at=self.catalogue.now)
        self.completed.add((phase, run.number))
        if phase == PHASES[-1]:
            self.catalogue.change_session("completed", completed_at=self.catalogue.now)

    def _announce_all(self) -> None:
        for phase in PHASES:
            self.catalogue.announce(phase)

    # What befalls it

    def kill_pipeline(self) -> None:
        """The gateway that runs the session dies, and another takes it over; what it had announced is in the outbox."""
        self.catalogue.epoch += 1
        self._is_taken = self._is_begun = False

    def kill_worker(self, number: int) -> None:
        """A worker dies with its unsent reports; what it waited for an acknowledgement of may arrive or not."""
        self.workers[number].newest.clear()
        for flight in self.flights:
            flight.may_be_lost = flight.may_be_lost or flight.worker == number

    def publish(self, number: int) -> None:
        """A worker sends the newest of each unit."""
        self.flights += self.workers[number].flights()

    def relay(self, events: int) -> None:
        """A gateway sends what waits longest in the outbox; an acknowledgement is waited for."""
        sent, self.catalogue.outbox[:] = self.catalogue.outbox[:events], self.catalogue.outbox[events:]
        self.flights += [Flight(content=content, may_be_lost=False) for content in sent]

    def arrive(self, which: int, *, again: bool = False) -> None:
        """The stream takes an event; the same may come ``again`` later."""
        if self.flights:
            index = which % len(self.flights)
            self.take(self.flights[index].content)
            if not again:
                del self.flights[index]

    def lose(self, which: int) -> None:
        """An event is lost on its way, if it is one that may be."""
        if self.flights and self.flights[which % len(self.flights)].may_be_lost:
            del self.flights[which % len(self.flights)]

    def take(self, content: bytes) -> None:
        """The stream keeps a message, under its own time."""
        self.time.passes(0.001)
        microseconds = (self.time.now - BEGINNING) // timedelta(microseconds=1)
        self.stream.append(
            Message(time_microseconds=round(BEGINNING.timestamp()) * SECOND + microseconds, content=content)
        )

    def flow(self, random: Random) -> None:
        """All that waits to be sent arrives, in any order."""
        for worker in self.workers:
            self.publish(worker.number)
        self.relay(len(self.catalogue.outbox))
        random.shuffle(self.flights)
        while self.flights:
            self.arrive(0)

    def tick(self) -> None:
        """Every aggregator that hears the stream looks for stalls."""
        now = round(self.time.now.timestamp() * SECOND)
        for replica in self.replicas:
            if replica.sequence == len(self.stream):
                replica.session.tick(now)

    # Its end

    def run_to_the_end(self) -> None:
        """Nothing goes wrong any more: the session is completed, and everybody hears of it."""
        while self.catalogue.session.status != "completed":
            if self.catalogue.session.status in STARTABLE:
                self.start()
            self.go_on(worker=0, shard=0, outcomes=[True] * SHARD_PHOTOS)
        self.flow(Random(0))
        for replica in self.replicas:
            replica.fold()
        for gateway in self.gateways:
            gateway.read()
            gateway.hear(self.replicas[0])
