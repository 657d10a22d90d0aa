"""Chooses TCP ports for the services, and says who holds one that is taken."""

import random
import socket

import psutil

from triptych_gateway.cli.stack.errors import StackError

# Below Linux's default range for outgoing connections (32768 and up, ip(7) ip_local_port_range): a port from that
# range could be handed to any program's outgoing connection while its service restarts.
_FIRST_PORT, _LAST_PORT = 20_000, 32_000


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on `host`:`port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # Two sockets may be bound to one address with SO_REUSEADDR; only one may listen.
            probe.listen(1)
        except OSError:
            return False
    return True


def choose_ports(host: str, count: int) -> tuple[int, ...]:
    """`count` different ports on which nobody listens now.

    Raises:
        StackError: too few are free.
    """
    candidates = random.sample(range(_FIRST_PORT, _LAST_PORT), 2_000)
    chosen: list[int] = []
    for port in candidates:
        if len(chosen) == count:
            return tuple(chosen)
        if is_free(host, port):
            chosen.append(port)
    raise StackError(f"Only {len(chosen)} of {len(candidates)} tried ports on {host} are free; {count} are needed.")


def require_free(host: str, port: int) -> None:
    """Raises StackError, with whom to ask, when `port` is taken or not allowed."""
    if is_free(host, port):
        return
    holder = holder_of(port)
    by = f"by {holder}" if holder else "by another program"
    raise StackError(f"Port {port} on {host} is taken {by}. Stop it, or choose another port with --port.")


def holder_of(port: int) -> str | None:
    """`NAME (process ID)` of who listens on `port`; None when nobody does or it may not be known to this user."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or connection.pid is None:
            continue
        if connection.laddr.port == port:
            try:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.NoSuchProcess:
                return None
    return None
