"""What traces cost where nobody collects them: microseconds of what is done for each call, micro-batch and report.

- ``call_us``: a span around a call, and its metadata; ``served_us``: of the answering of a call;
- ``micro_batch_us``: of a micro-batch of 16 photos; ``report_us``: the context of a report;
- ``log_line_us``: of the log's look for a trace.

python benchmarks/tracing.py
"""

import json
import time
from collections import deque
from collections.abc import Callable

from opentelemetry import trace

from triptych_common.media import ImageFailure
from triptych_common.media.loading import LoadedImage
from triptych_common.photos.queue import DecodedPhoto, PhotoRequest
from triptych_common.photos.tracing import traced
from triptych_common.tracing import current_traceparent, served, span, trace_metadata

_TIMES = 20_000


def _microseconds(work: Callable[[], object]) -> float:
    """Of one time, the least of five rounds."""
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(_TIMES):
            work()
        rounds.append((time.perf_counter() - began) / _TIMES * 1e6)
    return round(min(rounds), 2)


def main() -> None:
    """Measure."""
    request = PhotoRequest(undecoded=deque())
    loaded = LoadedImage(item_id=1, image=ImageFailure("corrupt", "It is none."), seconds=0.01)
    batch = [DecodedPhoto(request=request, loaded=loaded, since=0.0)] * 16
    metadata = (("user-agent", "grpc"),)

    def call() -> None:
        with span("call", assets=[1, 2, 3], ordinals=[1, 2, 3]):
            trace_metadata()

    def answer() -> None:
        with served("/triptych.v1.Embedder/EmbedImages", metadata):
            pass

    def compute() -> None:
        with traced(batch):
            pass

    print(
        json.dumps(
            {
                "call_us": _microseconds(call),
                "served_us": _microseconds(answer),
                "micro_batch_us": _microseconds(compute),
                "report_us": _microseconds(current_traceparent),
                "log_line_us": _microseconds(lambda: trace.get_current_span().get_span_context().is_valid),
            }
        )
    )


if __name__ == "__main__":
    main()
