"""Sessions as a correct system reports them, for property tests: crashes, pauses, restarts, late and lost reports."""

import itertools
from collections.abc import Iterator
from random import Random

from hypothesis import strategies as st

from triptych_progress.reducer import PHASES, CountsReport, Life, LifeReport, Phase, Report, State

SESSION_ID = 7
WEIGHTS: dict[Phase, float] = {"training": 0.3, "face_detection": 0.65, "clustering": 0.05}
_ENDINGS: tuple[State, ...] = ("cancelled", "failed", "paused")


def reports(*, resizes: bool = True) -> st.SearchStrategy[list[Report]]:
    """All reports of a session, in the order in which they were sent.

    ``resizes``: whether clustering may find another number of faces when it begins again after a crash.
    Drawn by a seed: a session takes hundreds of decisions, which Hypothesis could neither make fast nor shrink.
    """
    return st.builds(_reports, _randoms, most_items=st.integers(0, 25), resizes=st.just(resizes))


def deliveries(sent: list[Report]) -> st.SearchStrategy[list[Report]]:
    """The same reports as they may arrive: in any order, some of them more than once."""
    return st.builds(_shuffled, st.just(sent), _randoms)


_randoms: st.SearchStrategy[Random] = st.integers(0, 2**32).map(Random)


def _reports(random: Random, *, most_items: int, resizes: bool) -> list[Report]:
    return list(_Session(random, most_items=most_items, resizes=resizes).reports())


def _shuffled(sent: list[Report], random: Random) -> list[Report]:
    arriving = sent + random.choices(sent, k=10)
    random.shuffle(arriving)
    return arriving


class _Session:
    def __init__(self, random: Random, *, most_items: int, resizes: bool) -> None:
        self._random = random
        self._resizes = resizes
        self._most_items = most_items
        self._steps = itertools.count(1)
        self._epoch = 1
        self._runs: dict[Phase, int] = dict.fromkeys(PHASES, 1)
        self._lives: dict[Phase, Life] = {}

    def reports(self) -> Iterator[Report]:
        for phase in PHASES:
            yield self._life(phase, "pending")
        restarts = self._random.randint(0, 2)
        place = 0
        while place < len(PHASES):
            phase = PHASES[place]
            yield from self._clustering() if phase == "clustering" else self._photos(phase)
            place += 1
            if restarts and self._chance(0.5):
                restarts -= 1
                place = self._random.randint(0, place - 1)
                for again in PHASES[place:]:
                    self._runs[again] += 1
                    yield self._life(again, "pending")
        if self._chance(0.5):
            # Another gateway announces everything as it stands.
            self._epoch += 1
            for phase, last in self._lives.items():
                yield self._life(phase, last.state, total=last.total, skipped=last.skipped)

    def _life(self, phase: Phase, state: State, *, total: int = 0, skipped: int = 0) -> LifeReport:
        life = Life(
            epoch=self._epoch,
            step=next(self._steps),
            state=state,
            total=total,
            skipped=skipped,
            weight=WEIGHTS[phase],
        )
        self._lives[phase] = life
        return LifeReport(session_id=SESSION_ID, phase=phase, run=self._runs[phase], life=life)

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _counts(self, phase: Phase, unit: str, *, done: int, failed: int = 0, total: int, stage: str = "") -> Report:
        return CountsReport(
            session_id=SESSION_ID,
            phase=phase,
            run=self._runs[phase],
            unit=unit,
            done=done,
            failed=failed,
            total=total,
            stage=stage,
        )

    def _interruption(self, phase: Phase, total: int, skipped: int) -> Iterator[Report]:
        """Perhaps a person holds the run, or its gateway dies; then it goes on."""
        if self._chance(0.2):
            yield self._life(phase, self._random.choice(_ENDINGS), total=total, skipped=skipped)
            self._epoch += 1
            yield self._life(phase, "running", total=total, skipped=skipped)

    def _photos(self, phase: Phase) -> Iterator[Report]:
        """A run through photos in shards, several at a time."""
        items, skipped = self._random.randint(0, self._most_items), self._random.randint(0, 5)
        shard_size = self._random.randint(1, 8)
        total = items + skipped
        yield self._life(phase, "running", total=total, skipped=skipped)
        left = [
            _Shard(ordinal=ordinal, size=min(shard_size, items - start))
            for ordinal, start in enumerate(range(0, items, shard_size))
        ]
        while left:
            shard = left[self._random.randint(0, min(2, len(left) - 1))]
            yield from self._attempt(phase, shard)
            if shard.is_whole:
                left.remove(shard)
            yield from self._interruption(phase, total, skipped)
        yield self._life(phase, "completed", total=total, skipped=skipped)

    def _attempt(self, phase: Phase, shard: "_Shard") -> Iterator[Report]:
        """One call for the rest of a shard; after a crash, what was not committed is reported anew."""
        done, failed = shard.done, shard.failed
        while done + failed < shard.size:
            batch = self._random.randint(1, shard.size - done - failed)
            failures = self._random.randint(0, batch)
            done, failed = done + batch - failures, failed + failures
            is_committed = self._chance(0.5)
            if not is_committed or self._chance(0.75):
                # Sometimes the worker dies between the answer and the report.
                yield self._counts(phase, f"shard-{shard.ordinal}", done=done, failed=failed, total=shard.size)
            if is_committed:
                shard.done, shard.failed = done, failed
            elif self._chance(0.5):
                return

    def _clustering(self) -> Iterator[Report]:
        """A run in one piece, which begins again after a crash, perhaps with another number of faces."""
        tries = self._random.randint(1, 2)
        total = self._random.randint(tries - 1, 2 * self._most_items + 1)
        for is_last in (False, True)[-tries:]:
            if tries == 2 and self._resizes:
                total = self._random.randint(1, 2 * self._most_items + 1)
            yield self._life("clustering", "running", total=total)
            steps = sorted(self._random.choices(range(total), k=4)) if total else []
            for done in steps:
                yield self._counts("clustering", "clustering", done=done, total=total, stage="neighbours")
            if is_last:
                if total and self._chance(0.5):
                    yield self._counts("clustering", "clustering", done=total, total=total, stage="merge")
                yield self._life("clustering", "completed", total=total)


class _Shard:
    """What the catalogue holds of a shard."""

    def __init__(self, *, ordinal: int, size: int) -> None:
        self.ordinal = ordinal
        self.size = size
        self.done = 0
        self.failed = 0

    @property
    def is_whole(self) -> bool:
        return self.done + self.failed >= self.size
