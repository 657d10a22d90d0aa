"""What happens to a session, by a seed each, and whole lives of such happenings, for property tests.

Hypothesis draws what happens and a seed of how: that shrinks, and goes deep enough in little time.
"""

import math
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from hypothesis import strategies as st

from tests.unit.progress.simulated_parts import BEGINNING, RESTARTABLE, SHARD_PHOTOS, STARTABLE, Skews, event_of
from tests.unit.progress.simulated_stack import SimulatedStack
from triptych.v1 import progress_event_pb2
from triptych_progress.reducer import PHASES

WORKERS: Final = 3
REPLICAS: Final = 3
GATEWAYS: Final = 2
LONGEST_SKEW_SECONDS: Final = 600.0


def _counts(*, unit: str = "shard-0", run: int = 1, done: int = 1, failed: int = 0, total: int = 3) -> bytes:
    event = event_of("training", run, source="nobody", at=BEGINNING)
    event.unit = unit
    event.counts.done, event.counts.failed, event.counts.total = done, failed, total
    return event.SerializeToString()


def _life(state: str, *, total: int = 3, skipped: int = 0, weight: float = 0.3) -> bytes:
    event = event_of("training", 1, source="nobody", at=BEGINNING)
    event.lifecycle.epoch = event.lifecycle.step = 10**6
    event.lifecycle.state = progress_event_pb2.RunState.Value(f"RUN_STATE_{state}")
    event.lifecycle.total, event.lifecycle.skipped, event.lifecycle.weight = total, skipped, weight
    return event.SerializeToString()


BAD_EVENTS: Final = (
    b"\xff\xff",
    b"",
    _counts(done=4),
    _counts(done=2, failed=2),
    _counts(total=0, done=0),
    _counts(run=0),
    _counts(unit=""),
    _counts(unit="shard-01"),
    _counts(done=2**63),
    _life("UNSPECIFIED"),
    _life("COMPLETED", skipped=4),
    _life("COMPLETED", weight=math.nan),
    _life("COMPLETED", weight=1.5),
)
"""What no correct part sends."""


# What happens


def nothing(_stack: SimulatedStack, _random: Random) -> None:
    """Hypothesis shrinks to this."""


def work(stack: SimulatedStack, random: Random) -> None:
    """The pipeline goes on by a few steps, with any worker and shard; photos fail, and answers are lost."""
    for _ in range(random.randint(1, 4)):
        if stack.catalogue.session.status == "running":
            stack.go_on(
                worker=random.randrange(WORKERS),
                shard=random.randrange(4),
                outcomes=random.choices([True, False], weights=[4, 1], k=random.randint(1, SHARD_PHOTOS)),
                lost=random.choice([0, 0, 1, SHARD_PHOTOS]),
                publish=random.random() < 0.5,
            )


def a_person_acts(stack: SimulatedStack, random: Random) -> None:
    """The session is paused, cancelled, started again, or a phase of it restarted once it is over."""
    status = stack.catalogue.session.status
    ways: list[Callable[[], None]] = []
    if status == "running":
        ways += [lambda: stack.hold("paused"), lambda: stack.hold("cancelled")]
    if status in STARTABLE:
        ways += [stack.start]
    if status in RESTARTABLE:
        phase = random.choice(PHASES[: PHASES.index(stack.catalogue.phase_ahead) + 1])
        ways += [lambda: stack.restart(phase, keep_done=random.random() < 0.5)]
    random.choice(ways)()


def the_phase_fails(stack: SimulatedStack, _: Random) -> None:
    if stack.catalogue.session.status == "running":
        stack.fail()


def the_pipeline_dies(stack: SimulatedStack, _: Random) -> None:
    stack.kill_pipeline()


def a_worker_dies(stack: SimulatedStack, random: Random) -> None:
    stack.kill_worker(random.randrange(WORKERS))


def a_clock_is_set(stack: SimulatedStack, random: Random) -> None:
    """A worker's clock jumps, forth or back."""
    random.choice(stack.workers).skew_seconds = random.uniform(-LONGEST_SKEW_SECONDS, LONGEST_SKEW_SECONDS)


def time_passes(stack: SimulatedStack, random: Random) -> None:
    stack.time.passes(random.choice([0.1, 5.0, 60.0, 3600.0]))
    stack.tick()


def events_travel(stack: SimulatedStack, random: Random) -> None:
    """Some are sent, some arrive, in any order and some of them more than once, and some are lost."""
    stack.publish(random.randrange(WORKERS))
    stack.relay(random.randrange(10))
    for _ in range(random.randrange(20)):
        stack.arrive(random.randrange(100), again=random.random() < 0.3)
    if random.random() < 0.3:
        stack.lose(random.randrange(100))


def a_bad_event_comes(stack: SimulatedStack, random: Random) -> None:
    stack.take(random.choice(BAD_EVENTS))


def aggregators_fold(stack: SimulatedStack, random: Random) -> None:
    """Each folds some of what is there, or all of it."""
    for replica in stack.replicas:
        replica.fold(random.choice([0, 1, 5, None]))


def an_aggregator_saves(stack: SimulatedStack, random: Random) -> None:
    """It writes a snapshot, or dies in the middle of that."""
    replica = random.choice(stack.replicas)
    is_whole = random.random() < 0.7
    replica.save(with_position=is_whole)
    if not is_whole:
        replica.restore()


def an_aggregator_dies(stack: SimulatedStack, random: Random) -> None:
    random.choice(stack.replicas).restore()


def gateways_listen(stack: SimulatedStack, random: Random) -> None:
    """They read the catalogue or hear an aggregator, which may be behind others, or both."""
    for gateway in stack.gateways:
        replica = random.choice(stack.replicas)
        if random.random() < 0.5:
            gateway.read()
        if replica.serves and random.random() < 0.7:
            gateway.hear(replica)


def a_gateway_dies(stack: SimulatedStack, random: Random) -> None:
    """Before the next one answers it has heard an aggregator: starting takes longer than a replica lies behind."""
    replica = random.choice(stack.replicas)
    replica.fold()
    stack.tick()
    random.choice(stack.gateways).restart(replica)


WEIGHTS_OF_EVENTS: Final[dict[Callable[[SimulatedStack, Random], None], int]] = {
    nothing: 1,
    work: 10,
    events_travel: 8,
    aggregators_fold: 6,
    gateways_listen: 6,
    a_person_acts: 2,
    an_aggregator_saves: 2,
    an_aggregator_dies: 2,
    the_phase_fails: 1,
    the_pipeline_dies: 1,
    a_worker_dies: 1,
    a_gateway_dies: 1,
    a_bad_event_comes: 1,
    a_clock_is_set: 1,
    time_passes: 1,
}
"""What happens how often."""


class Happening(NamedTuple):
    """Something that happens, and the seed of how."""

    what: str
    seed: int

    def happen_to(self, stack: SimulatedStack) -> None:
        _HAPPENINGS[self.what](stack, Random(self.seed))


_HAPPENINGS: Final = {what.__name__: what for what in WEIGHTS_OF_EVENTS}
lives: st.SearchStrategy[list[Happening]] = st.lists(
    st.builds(
        Happening,
        what=st.sampled_from([what.__name__ for what, weight in WEIGHTS_OF_EVENTS.items() for _ in range(weight)]),
        seed=st.integers(0, 2**32),
    ),
    min_size=60,
    max_size=120,
)
"""All that happens to a session, in order."""


def _of_each(count: int) -> st.SearchStrategy[tuple[float, ...]]:
    return st.tuples(*[st.floats(-LONGEST_SKEW_SECONDS, LONGEST_SKEW_SECONDS)] * count)


skews: st.SearchStrategy[Skews] = st.builds(
    Skews, workers=_of_each(WORKERS), database=_of_each(1).map(lambda only: only[0]), gateways=_of_each(GATEWAYS)
)
"""How far all clocks are off."""
stacks: st.SearchStrategy[SimulatedStack] = st.builds(
    SimulatedStack,
    photos=st.sampled_from([8, 5, 3, 1, 0]),
    faces=st.integers(0, 6),
    skipped=st.integers(0, 2),
    replicas=st.just(REPLICAS),
    skews=skews,
)
"""A stack whose session waits to be started."""
