"""What httpx is given as `verify` where an address is HTTP without TLS."""

import ssl
from typing import Final

NO_AUTHORITIES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody. httpx would otherwise read all the authorities it knows for each client, which takes 50 ms."""
