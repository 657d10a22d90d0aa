"""A model's life: loaded once whoever asks, unloaded after idling, loaded again, never closed under anybody's hands."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from triptych_common.errors import AwayError, ConfigurationError
from triptych_common.models.lifetime import ModelLifetime
from triptych_common.process_memory import MemoryCeiling, give_back_memory, resident_bytes

_WAIT_SECONDS = 30
_IDLE_SECONDS = 0.01


class _Model:
    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class _Loading:
    """Loads models, and keeps all that were loaded."""

    def __init__(self) -> None:
        self.loaded: list[_Model] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.error: Exception | None = None

    def __call__(self) -> _Model:
        assert self.may_end.wait(_WAIT_SECONDS)
        if self.error is not None:
            raise self.error
        self.loaded.append(_Model())
        return self.loaded[-1]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - a thread changes it
            await asyncio.sleep(0.001)


async def _use(lifetime: ModelLifetime[_Model]) -> _Model:
    async with lifetime.in_use():
        with lifetime.borrowed() as model:
            assert model is not None
            return model


async def test_many_who_ask_at_once_get_one_model() -> None:
    load = _Loading()
    lifetime = ModelLifetime(load)
    used = await asyncio.gather(*(_use(lifetime) for _ in range(5)))
    assert load.loaded == [used[0]]
    assert len({id(model) for model in used}) == 1
    await lifetime.close()
    assert load.loaded[0].is_closed


async def test_one_who_leaves_while_it_is_loaded_does_not_take_it_from_the_others() -> None:
    load = _Loading()
    load.may_end.clear()
    lifetime = ModelLifetime(load)
    leaving, staying = asyncio.create_task(_use(lifetime)), asyncio.create_task(_use(lifetime))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    load.may_end.set()
    assert await staying is load.loaded[0]
    assert len(load.loaded) == 1
    await lifetime.close()


async def test_a_model_that_idles_is_closed_and_loaded_again_when_it_is_needed() -> None:
    load = _Loading()
    lifetime = ModelLifetime(load, unload_idle_seconds=_IDLE_SECONDS)
    await lifetime.load_first()
    await _until(lambda: not lifetime.is_loaded and load.loaded[0].is_closed)
    assert await _use(lifetime) is load.loaded[1]
    await _until(lambda: load.loaded[1].is_closed)
    await lifetime.close()


async def test_a_model_in_use_does_not_idle() -> None:
    load = _Loading()
    lifetime = ModelLifetime(load, unload_idle_seconds=_IDLE_SECONDS)
    async with lifetime.in_use():
        # Another one comes and goes meanwhile, and time passes.
        await _use(lifetime)
        await asyncio.sleep(10 * _IDLE_SECONDS)
        assert lifetime.is_loaded
    await lifetime.close()
    assert [model.is_closed for model in load.loaded] == [True]


async def test_a_model_that_a_thread_still_has_is_not_closed_when_its_user_leaves() -> None:
    load = _Loading()
    lifetime = ModelLifetime(load, unload_idle_seconds=_IDLE_SECONDS)
    await lifetime.load_first()
    with lifetime.borrowed() as model:
        assert model is not None
        await asyncio.sleep(10 * _IDLE_SECONDS)
        assert not model.is_closed
    await _until(lambda: model.is_closed)
    with lifetime.borrowed() as gone:
        assert gone is None
    await lifetime.close()


async def test_a_model_that_cannot_be_loaded_again_sends_requests_elsewhere() -> None:
    load = _Loading()
    lifetime = ModelLifetime(load)
    load.error = ConfigurationError("The weights are gone.")
    with pytest.raises(ConfigurationError):
        await lifetime.load_first()
    with pytest.raises(AwayError) as caught:
        await _use(lifetime)
    assert caught.value.reason == "MODEL_LOADING_FAILED"
    load.error = None
    assert await _use(lifetime) is load.loaded[0]
    await lifetime.close()


def test_a_ceiling_that_the_process_is_above_already_says_what_to_set() -> None:
    assert MemoryCeiling(None).has_room(2**60)
    with pytest.raises(ConfigurationError, match=r"TRIPTYCH_MEMORY_CEILING_BYTES is 1000, .* set it to at least \d+"):
        MemoryCeiling(1000).require_room(1)
    MemoryCeiling(2**50).require_room(1)
    assert not MemoryCeiling(1000).has_room(1)
    assert MemoryCeiling(resident_bytes() * 2).has_room(1)
    give_back_memory()
