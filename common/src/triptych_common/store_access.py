"""How an object store is reached."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class StoreAccess:
    """What is None is looked for where the AWS SDKs look for it."""

    endpoint_url: str | None = None
    """Of a store other than AWS."""
    region: str | None = None
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
