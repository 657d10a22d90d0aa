"""When a model is in memory: loaded once whoever asks, warm before it is used, let go of after idling."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Generic, Protocol, TypeVar

from triptych_common.errors import AwayError
from triptych_common.logging import get_logger
from triptych_common.process_memory import give_back_memory

log = get_logger(__name__)


class LoadedModel(Protocol):
    """What can be let go of."""

    def close(self) -> None:
        """Let go of threads and of the device's memory."""


ModelT = TypeVar("ModelT", bound=LoadedModel)


class ModelLifetime(Generic[ModelT]):
    """One model: kept loaded by ``async with lifetime.in_use()``, and handed to threads by ``borrowed``. Close it when
    nobody uses it any more.

    ``load`` runs on a thread of its own and returns a model that is warm. A model that nobody has used for
    ``unload_idle_seconds`` is closed, and loaded again when it is next used; never where that is 0.
    """

    def __init__(self, load: Callable[[], ModelT], *, unload_idle_seconds: float = 0.0) -> None:
        self._load = load
        self._unload_idle_seconds = unload_idle_seconds
        self._model: ModelT | None = None
        self._loading: asyncio.Task[ModelT] | None = None
        self._users = 0
        self._borrowers = 0
        self._lock = threading.Lock()
        """For the model and its borrowers, who are on threads."""
        self._idle: asyncio.TimerHandle | None = None
        self._unloading: asyncio.Task[None] | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether it is in memory."""
        return self._model is not None

    async def load_first(self) -> ModelT:
        """Load it as the process starts. Raises what loading raises."""
        model = await self._loaded()
        self._await_idleness()
        return model

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """The model stays loaded for as long as the context lasts; it is loaded if it is not, once however many ask.

        Raises AwayError (MODEL_LOADING_FAILED) where it cannot be loaded again.
        """
        self._users += 1
        if self._idle is not None:
            self._idle.cancel()
        try:
            try:
                await self._loaded()
            except Exception as error:  # whatever a backend raises: the request is to go elsewhere, or come again
                log.exception("the model could not be loaded")
                raise AwayError(
                    "The model could not be loaded; the service's log has the details.", reason="MODEL_LOADING_FAILED"
                ) from error
            yield
        finally:
            self._users -= 1
            self._await_idleness()

    @contextmanager
    def borrowed(self) -> Iterator[ModelT | None]:
        """The model on a thread; None where it is not loaded, which is where nobody has it in use any more.

        It is not closed before the context ends, also where the user for whom it was borrowed has left.
        """
        with self._lock:
            model = self._model
            self._borrowers += 1
        try:
            yield model
        finally:
            with self._lock:
                self._borrowers -= 1

    async def close(self) -> None:
        """Close the model, once what is loading or unloading has ended."""
        if self._idle is not None:
            self._idle.cancel()
        under_way = [task for task in (self._loading, self._unloading) if task is not None]
        if under_way:
            await asyncio.wait(under_way)
        if self._model is not None:
            model, self._model = self._model, None
            await asyncio.to_thread(model.close)

    async def _loaded(self) -> ModelT:
        if self._unloading is not None:
            await asyncio.wait([self._unloading])
        if self._model is not None:
            return self._model
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_now(), name="load the model")
        # Whoever asks may be cancelled; the others wait on.
        return await asyncio.shield(self._loading)

    async def _load_now(self) -> ModelT:
        try:
            self._model = await asyncio.to_thread(self._load)
        finally:
            self._loading = None
        return self._model

    def _await_idleness(self) -> None:
        if self._users or not self._unload_idle_seconds:
            return
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(self._unload_idle_seconds, self._begin_to_unload)

    def _begin_to_unload(self) -> None:
        if self._users or self._model is None:
            return
        with self._lock:
            if not self._borrowers:
                model, self._model = self._model, None
                self._unloading = asyncio.create_task(self._unload(model), name="unload the model")
                return
        self._await_idleness()

    async def _unload(self, model: ModelT) -> None:
        try:
            await asyncio.to_thread(model.close)
            del model
            await asyncio.to_thread(give_back_memory)
            log.info("model unloaded", idle_seconds=self._unload_idle_seconds)
        finally:
            self._unloading = None
