"""Keeps sessions alive: publishes events of their first phase at a steady rate until it is ended.

python -m benchmarks.gateway_feeder, with a JSON object on standard input: nats_url, rate (events per second), and
photos by session id. It says `{"announced": true}` once every session has been announced.
"""

import json
import sys
import time
from itertools import islice
from typing import Any, Final

from benchmarks.progress_load import Connection, in_turns, session_messages

_TURN_SECONDS: Final = 0.02


def main() -> None:
    """Publish until the end of the events, which is far, or of this process."""
    parameters: dict[str, Any] = json.load(sys.stdin)
    photos = {int(session_id): number for session_id, number in parameters["photos"].items()}
    connection = Connection.to_url(parameters["nats_url"])
    flow = in_turns([session_messages(session_id, photos=number) for session_id, number in photos.items()])
    # Three runs are announced, and one of them begins.
    connection.publish(islice(flow, 4 * len(photos)))
    sys.stdout.write('{"announced": true}\n')
    sys.stdout.flush()
    began, published = time.perf_counter(), 0
    while True:
        due = int((time.perf_counter() - began) * parameters["rate"]) - published
        published += connection.publish(islice(flow, due))
        time.sleep(_TURN_SECONDS)


if __name__ == "__main__":
    main()
