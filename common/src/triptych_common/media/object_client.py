"""The client of an object store: s3fs, set so that it asks the configured server alone, and not for long."""

from typing import Any, Final

import s3fs
from aiobotocore.httpsession import AIOHTTPSession

from triptych_common.store_access import StoreAccess

CONNECT_SECONDS: Final = 3.0
SILENCE_SECONDS: Final = 20.0
"""A store that sends nothing for so long is away."""
_CONNECTIONS: Final = 64


class _WithoutRedirects:
    """An aiohttp session that goes where it is sent, and nowhere else."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, method: str, **arguments: Any) -> Any:
        return await self._session.request(method, allow_redirects=False, **arguments)


class _DirectSession(AIOHTTPSession):  # type: ignore[misc]  # it has no types
    """A Location is not followed, as botocore does not: it may name any server that can be reached from here."""

    async def _get_session(self, proxy_url: Any) -> Any:
        return _WithoutRedirects(await super()._get_session(proxy_url))


def file_system(access: StoreAccess) -> Any:
    """An S3FileSystem that caches no listings and shares nothing with others."""
    config: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": SILENCE_SECONDS,
        "retries": {"mode": "standard", "total_max_attempts": 2},
        "max_pool_connections": _CONNECTIONS,
        "http_session_cls": _DirectSession,
        # Stores other than AWS need not know checksums beyond the ETag.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    if access.endpoint_url:
        # Bucket names in host names need a DNS entry each.
        config["s3"] = {"addressing_style": "path"}
    files = s3fs.S3FileSystem(
        endpoint_url=access.endpoint_url,
        key=access.access_key_id,
        secret=access.secret_access_key,
        token=access.session_token,
        client_kwargs={"region_name": access.region} if access.region else {},
        config_kwargs=config,
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    # The client itself tries again, and so do those who ask.
    files.retries = 1
    return files
