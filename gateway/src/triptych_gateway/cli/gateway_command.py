"""How a command that asks a gateway ends: by its answer, by a signal, or by a sentence that says what is wrong."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from rich.text import Text

from triptych_gateway.cli.interruption import Interruption
from triptych_gateway.cli.rest.errors import GatewayError
from triptych_gateway.cli.terminal.consoles import message_console
from triptych_gateway.cli.terminal.text import printable


async def until_interrupted(work: Coroutine[Any, Any, int]) -> int:
    """The exit status of `work`, of a signal that ended it, or 1 with a sentence where the gateway said no."""
    interruption = Interruption()
    try:
        with interruption:
            return await work
    except asyncio.CancelledError:
        if interruption.exit_status is None:
            raise
        return interruption.exit_status
    except GatewayError as error:
        message_console().print(Text(printable(str(error)), style="red"), soft_wrap=True)
        return 1
