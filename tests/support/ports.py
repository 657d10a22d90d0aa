"""Ports for servers that must know theirs before they listen, or come back on it: no two tests get the same one."""

import contextlib
import random
import socket

_FIRST_PORT, _LAST_PORT = 10_000, 20_000
"""Below what the system gives outgoing connections (ip(7), ip_local_port_range: 32768 and up), which would otherwise
take the port of a server that is away for a moment; and below those that `triptych up` chooses from."""
_RESERVED_AT = "127.0.0.83"
"""Whoever listens there on a port has reserved it: another address of loopback, so that a server finds it free."""
_reservations: list[socket.socket] = []


def free_port(host: str = "127.0.0.1") -> int:
    """A port of an address on which nobody listens, and which no other test run gets while this process lives."""
    for port in random.sample(range(_FIRST_PORT, _LAST_PORT), _LAST_PORT - _FIRST_PORT):
        with contextlib.suppress(OSError):
            reservation = _listening(_RESERVED_AT, port)
            _reservations.append(reservation)
            _listening(host, port).close()
            return port
    raise AssertionError("every port is taken")


def _listening(host: str, port: int) -> socket.socket:
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1)
    except OSError:
        listening.close()
        raise
    return listening
