"""The laws of progress at every moment of sessions to which anything happens that the system is built to survive."""

import copy
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.progress.happenings import BAD_EVENTS, Happening, lives, stacks
from tests.unit.progress.laws import Bar, PlainFold, check_folded, check_shown
from tests.unit.progress.simulated_parts import Replica, Store
from tests.unit.progress.simulated_stack import SimulatedStack
from triptych_progress.session import Session

# Shrinking a long life takes its time.
pytestmark = pytest.mark.timeout(900)


class Witness:
    """Sees a session through, and holds each law at every moment."""

    def __init__(self, stack: SimulatedStack) -> None:
        self._stack = stack
        self._undisturbed = Replica(stack.stream, Store())
        self._folded = [Session()]
        """What the undisturbed replica had folded after each message."""
        self._plain = PlainFold()
        self._plain_counts = [self._plain.counts()]
        self._folded_bars = [Bar() for _ in stack.replicas]
        self._shown_bars = [Bar() for _ in stack.gateways]
        self._revisions = [0 for _ in stack.gateways]

    def look(self) -> None:
        self._follow()
        for replica, bar in zip(self._stack.replicas, self._folded_bars, strict=True):
            self._look_at_aggregator(replica, bar)
        for number in range(len(self._stack.gateways)):
            self._look_at_gateway(number)

    def _follow(self) -> None:
        while self._undisturbed.sequence < len(self._stack.stream):
            message = self._stack.stream[self._undisturbed.sequence]
            if message.content not in BAD_EVENTS:
                self._plain.take(message.report())
            self._plain_counts.append(self._plain.counts())
            self._undisturbed.fold(1)
            self._folded.append(copy.deepcopy(self._undisturbed.session))

    def _look_at_aggregator(self, replica: Replica, bar: Bar) -> None:
        """Whoever has folded so far knows the same, however often it died, and from how far back it began again."""
        known, same = replica.session, self._folded[replica.reached]
        assert known.state == same.state
        # Stalls are told by those who are there when they begin.
        assert {phase: replace(clock, is_stalled=False) for phase, clock in known.clocks.items()} == same.clocks
        assert known.outlook() == same.outlook()
        assert known.revision >= same.revision
        counts = {phase: (run.run, run.counts()) for phase, run in known.state.phases.items()}
        assert counts == self._plain_counts[replica.reached]
        check_folded(known)
        if replica.serves:
            bar.look_at_folded(known)
        for phase, run in known.state.phases.items():
            if run.life is not None and run.life.state == "completed":
                assert (phase, run.run) in self._stack.completed, "told before it was committed"

    def _look_at_gateway(self, number: int) -> None:
        gateway = self._stack.gateways[number]
        body = gateway.shows()
        check_shown(body)
        self._shown_bars[number].look_at_shown(body, heard_runs=gateway.heard_runs())
        assert body["revision"] >= self._revisions[number]
        self._revisions[number] = body["revision"]


@settings(max_examples=100, deadline=None)
@given(stack=stacks, life=lives)
def test_the_laws_hold_at_every_moment_and_all_agree_in_the_end(stack: SimulatedStack, life: list[Happening]) -> None:
    witness = Witness(stack)
    stack.start()
    for happening in life:
        happening.happen_to(stack)
        witness.look()

    stack.run_to_the_end()

    witness.look()
    for replica in stack.replicas:
        assert replica.session.percentage() == 100
    for gateway in stack.gateways:
        shown = gateway.shows()
        assert (shown["overallStatus"], shown["overallProgress"]["percentage"]) == ("completed", 100)


@settings(max_examples=40, deadline=None)
@given(stack=stacks, life=lives, replicas=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_any_number_of_replicas_end_at_the_same_state_whenever_each_of_them_died(
    stack: SimulatedStack, life: list[Happening], replicas: int, seed: int
) -> None:
    stack.start()
    for happening in life:
        happening.happen_to(stack)
    stack.run_to_the_end()
    undisturbed = Replica(stack.stream, Store())
    undisturbed.fold()

    random, store = Random(seed), Store()
    others = [Replica(stack.stream, store) for _ in range(replicas)]
    while any(replica.sequence < len(stack.stream) for replica in others):
        replica = random.choice(others)
        replica.fold(random.randint(1, 10))
        if random.random() < 0.3:
            replica.save(with_position=random.random() < 0.8)
        if random.random() < 0.1:
            replica.restore()

    assert [replica.session for replica in others] == [undisturbed.session] * replicas
    assert {replica.says().SerializeToString() for replica in others} == {undisturbed.says().SerializeToString()}


@settings(max_examples=40, deadline=None)
@given(stack=stacks, life=lives, seed=st.integers(0, 2**32))
def test_all_that_ever_came_adds_up_to_the_same_in_any_other_order_and_repeated(
    stack: SimulatedStack, life: list[Happening], seed: int
) -> None:
    stack.start()
    for happening in life:
        happening.happen_to(stack)
    came = [message for message in stack.stream if message.content not in BAD_EVENTS]
    otherwise_ordered = [*came, *came[::3]]
    Random(seed).shuffle(otherwise_ordered)

    in_order, otherwise = Replica(came, Store()), Replica(otherwise_ordered, Store())
    in_order.fold()
    otherwise.fold()

    assert otherwise.session.state == in_order.session.state
