"""The way every service process starts and ends."""

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from triptych_common.errors import EXIT_BAD_CONFIGURATION, EXIT_BROKEN, ConfigurationError
from triptych_common.logging import configure_logging, get_logger
from triptych_common.settings import ProcessSettings
from triptych_common.tracing import tracing

SettingsT = TypeVar("SettingsT", bound=ProcessSettings)


def run_process(
    name: str,
    settings_class: type[SettingsT],
    run: Callable[[SettingsT], Coroutine[Any, Any, None]],
    *,
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> NoReturn:
    """Read settings, set up logging, run until it returns, and exit.

    ``new_loop`` makes the event loop where it is not to be asyncio's own.

    Exit status 0 after an orderly end, 78 where the process cannot start as it is set up (one sentence says why), 70
    where a thread died of an error: the work that waits for it would wait for ever, so the process ends and is started
    anew by whoever keeps it.
    """
    try:
        settings = settings_class.read()
    except ValidationError as error:
        for problem in error.errors():
            setting = ".".join(str(part) for part in problem["loc"])
            sys.stderr.write(f"{name}: setting {setting}: {problem['msg']}\n")
        sys.exit(EXIT_BAD_CONFIGURATION)
    except ConfigurationError as error:
        sys.stderr.write(f"{name}: {error}\n")
        sys.exit(EXIT_BAD_CONFIGURATION)
    configure_logging(settings, process=name)
    threading.excepthook = _end_with_the_thread
    # What the imports left lives as long as the process: full collections need not go through it every time, and hold
    # up whatever the process does for tens of milliseconds.
    gc.freeze()
    try:
        with tracing(name), asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(run(settings))
    except ConfigurationError as error:
        get_logger(name).error(str(error))
        sys.exit(EXIT_BAD_CONFIGURATION)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _end_with_the_thread(died: threading.ExceptHookArgs) -> None:
    thread = died.thread.name if died.thread is not None else ""
    error = (died.exc_type, died.exc_value, died.exc_traceback)
    get_logger(__name__).critical("a thread died, and the process with it", thread=thread, exc_info=error)
    os._exit(EXIT_BROKEN)
