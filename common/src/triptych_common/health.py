"""Asks a process of Triptych whether it takes work: what a container's health check runs."""

import os
import sys
from typing import Final, NoReturn
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ANSWER_SECONDS: Final = 3.0
"""Longest wait for an answer."""
_USAGE: Final = "usage: triptych-health [HOST:PORT | http://HOST:PORT/PATH]; without one, TRIPTYCH_LISTEN is asked"
_BAD_USAGE: Final = 2
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - compared with, not listened on


def complaint(target: str) -> str:
    """What is wrong with the process at ``target``, empty where it takes work.

    A ``host:port`` is asked by gRPC's health protocol, an ``http://`` URL for a status of 2xx. An address that stands
    for all of a machine's is asked on the loopback interface.
    """
    return _complaint_of_http(target) if target.startswith("http://") else _complaint_of_grpc(target)


def _complaint_of_grpc(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    address = f"{_ANY_ADDRESS.get(host, host)}:{port}"
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=ANSWER_SECONDS, wait_for_ready=True
            )
        except grpc.RpcError as error:
            return f"{address} does not answer: {error.code().name}"
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return f"{address} is {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}"


def _complaint_of_http(url: str) -> str:
    try:
        # No proxy: what is asked runs here.
        with build_opener(ProxyHandler({})).open(url, timeout=ANSWER_SECONDS):
            return ""
    except (URLError, OSError) as error:
        return f"{urlsplit(url).netloc} does not answer as it should: {error}"


def main() -> NoReturn:
    """Exit with 0 where the process takes work, with 1 and one sentence where it does not."""
    arguments = sys.argv[1:] or [os.environ.get("TRIPTYCH_LISTEN", "")]
    if len(arguments) != 1 or not arguments[0] or arguments[0].startswith("-"):
        sys.stderr.write(f"{_USAGE}\n")
        sys.exit(_BAD_USAGE)
    if said := complaint(arguments[0]):
        sys.stderr.write(f"{said}\n")
        sys.exit(1)
    sys.exit(0)
