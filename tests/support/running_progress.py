"""The real progress service as a process, and what it says of a session."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc

from tests.support.ports import free_port
from tests.support.real_servers import DEADLINE_SECONDS, wait_for
from triptych.v1 import progress_pb2, progress_pb2_grpc

_ANSWER_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class RunningProgress:
    """A progress service that has caught up with its stream."""

    address: str
    log: Path

    def get(self, session_id: int) -> progress_pb2.SessionProgress | None:
        """What it says of a session; None where it knows none or does not answer yet."""
        request = progress_pb2.ListSessionProgressRequest(session_ids=[session_id])
        with grpc.insecure_channel(self.address) as channel:
            try:
                answer = progress_pb2_grpc.ProgressStub(channel).ListSessionProgress(request, timeout=_ANSWER_SECONDS)
            except grpc.RpcError:
                return None
        return answer.progress[0] if answer.progress else None


@contextlib.contextmanager
def running_progress(*, nats_url: str, folder: Path, **settings: str) -> Iterator[RunningProgress]:
    """Start ``triptych-progress``, wait until it answers, and kill it. Settings are named without TRIPTYCH_."""
    address, log = f"127.0.0.1:{free_port()}", folder / "progress.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIPTYCH_")} | {
        "NATS_URL": nats_url,
        "TRIPTYCH_LISTEN": address,
        **{f"TRIPTYCH_{name.upper()}": value for name, value in settings.items()},
    }
    with log.open("ab") as output:
        script = str(Path(sys.executable).with_name("triptych-progress"))
        process = subprocess.Popen([script], env=environment, stdout=output, stderr=output)
    try:
        wait_for(lambda: _answers(process, address, log), f"the progress service answers; its log: {log}")
        yield RunningProgress(address=address, log=log)
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)


def _answers(process: subprocess.Popen[bytes], address: str, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with grpc.insecure_channel(address) as channel:
        try:
            progress_pb2_grpc.ProgressStub(channel).ListSessionProgress(
                progress_pb2.ListSessionProgressRequest(), timeout=_ANSWER_SECONDS
            )
        except grpc.RpcError:
            return False
    return True
