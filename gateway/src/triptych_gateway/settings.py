"""The gateway's settings."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from triptych_common.settings import MediaSettings, MetricsSettings, ProcessSettings
from triptych_gateway.catalog.runs.lifecycle import DEFAULT_SHARD_SIZE
from triptych_gateway.catalog.sessions.sessions import Weighting

_Addresses = Annotated[tuple[str, ...], NoDecode]
OIDC_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures that may be allowed: those whose keys an issuer publishes. With the others, whoever can check can sign."""


class DatabaseSettings(ProcessSettings):
    """Settings of a process that knows the database."""

    database_url: str = Field(validation_alias=AliasChoices("DATABASE_URL"), repr=False)
    """PostgreSQL with pgvector, as postgresql://user:password@host/name."""


class MigrationSettings(DatabaseSettings):
    """Settings of what brings the schema to this version."""

    database_owner_url: str | None = Field(default=None, repr=False)
    """The same database, as its owner, who may change its tables. Where it is set, `triptych-migrate` uses it, and
    makes of `DATABASE_URL`'s role one that may change rows alone, as which gateways work."""

    @field_validator("database_owner_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None


class GatewaySettings(MediaSettings, MetricsSettings, DatabaseSettings):
    """Settings of the gateway: REST interface, catalogue and pipeline."""

    http_host: str = "127.0.0.1"
    """Address that the REST interface listens on."""
    http_port: int = Field(default=8000, ge=0, le=65535)
    """Port that the REST interface listens on."""
    access: Literal["auto", "off", "tokens"] = "auto"
    """Whether the interface asks for tokens: `auto` does wherever another machine could reach it, that is unless
    `TRIPTYCH_HTTP_HOST` is a loopback address; `off` refuses to start there."""
    oidc_issuer: str | None = None
    """OpenID Connect issuer whose bearers hold beside tokens of ours, as its `iss` has it, such as
    https://login.example/realms/family; none where it is not set."""
    oidc_audience: str | None = None
    """What its bearers must name as their audience: needed with an issuer."""
    oidc_jwks_url: str | None = None
    """Where its public keys are; where it is not set, the issuer's own description says so."""
    oidc_algorithms: Annotated[tuple[str, ...], NoDecode] = ("RS256", "ES256")
    """Signatures that count, comma-separated: of those with public keys (RS, PS, ES, EdDSA)."""
    oidc_scope_claim: str = "scope"
    """Claim that names scopes, with dots between names (`realm_access.roles`), as a text with spaces or as a list."""
    oidc_scope_prefix: str = "triptych:"
    """What stands before `read`, `control` and `admin` in that claim."""
    requests_per_minute: int = Field(default=12_000, ge=1)
    """Requests in any minute of one token, or of one address without one, beyond which they are answered 429, where the
    interface asks for tokens. A stream counts once. Each gateway counts for itself."""
    wrong_tokens_per_minute: int = Field(default=60, ge=1)
    """Logins, and requests with a token that does not hold, in any minute of one address, likewise."""
    audit_keep_days: int = Field(default=365, ge=1, le=36_500)
    """Days for which it is kept who had what done, and that something was forgotten."""
    data_dir: Path = Path("/var/lib/triptych")
    """Directory for the thumbnail cache."""
    embedder_addresses: _Addresses = ("127.0.0.1:50051",)
    """Replicas of the embedder, host:port, comma-separated; a name may stand for several."""
    facedetect_addresses: _Addresses = ("127.0.0.1:50052",)
    """Replicas of the face detector, likewise."""
    cluster_addresses: _Addresses = ("127.0.0.1:50053",)
    """Replicas of the clusterer, likewise."""
    progress_addresses: _Addresses = ("127.0.0.1:50054",)
    """Replicas of the progress service, likewise."""
    weight_training: float = Field(default=0.30, ge=0, le=1)
    """Share of the training phase in the overall percentage of new sessions."""
    weight_face_detection: float = Field(default=0.65, ge=0, le=1)
    """Share of face detection."""
    weight_clustering: float = Field(default=0.05, ge=0, le=1)
    """Share of clustering."""
    weighting: Weighting = "fixed"
    """Weights of new sessions that do not say themselves: the three above, or `calibrated`, each phase's share of the
    time that this installation's history or a probe expects."""
    shard_size: int = Field(default=DEFAULT_SHARD_SIZE, ge=1, le=1024)
    """Photos per shard of new sessions."""
    max_concurrent_sessions: int = Field(default=64, ge=1)
    """Sessions that this gateway runs at once; they take turns at the services."""
    search_exact_below: int = Field(default=20_000, ge=0)
    """Photos below which a search compares each; from there on an index is built."""
    search_build_memory_bytes: int = Field(default=2**30, ge=2**26)
    """Bytes of memory that PostgreSQL may use to build a search index; where more are needed it takes longer."""
    picture_cache_bytes: int = Field(default=2 * 2**30, ge=0)
    """Bytes of thumbnails and face crops that are kept on disk; those not used for longest go first."""
    picture_keep_days: int = Field(default=30, ge=0, le=36_500)
    """Days for which a thumbnail or face crop is kept that nobody asks for; 0 is for as long as there is room."""
    run_details_keep_days: int = Field(default=90, ge=0, le=36_500)
    """Days after a session was completed for which it is kept which photos its runs had, and which files it could not
    read; 0 is for ever."""
    missing_photos_keep_days: int = Field(default=0, ge=0, le=36_500)
    """Days after which a photo whose file is gone is forgotten with its faces; 0 is never, as a disk may be away."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = (
        "http://localhost:5173",
        "http://localhost:3000",
        "http://127.0.0.1:5173",
        "http://127.0.0.1:3000",
    )
    """Origins of pages that may call the interface, comma-separated."""

    @field_validator(
        "embedder_addresses",
        "facedetect_addresses",
        "cluster_addresses",
        "progress_addresses",
        "cors_origins",
        "oidc_algorithms",
        mode="before",
    )
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _weights_add_up(self) -> Self:
        if abs(sum(self.weights.values()) - 1) > 1e-6:
            raise ValueError("the weights of the three phases must add up to 1")
        return self

    @model_validator(mode="after")
    def _issuer_is_whole(self) -> Self:
        if self.oidc_issuer is not None:
            if not self.oidc_audience:
                raise ValueError("TRIPTYCH_OIDC_ISSUER is set: name in TRIPTYCH_OIDC_AUDIENCE whom its bearers are for")
            if not self.asks_for_tokens:
                raise ValueError("TRIPTYCH_OIDC_ISSUER is set, but nobody is asked: set TRIPTYCH_ACCESS to tokens")
        return self

    @field_validator("oidc_issuer", "oidc_jwks_url")
    @classmethod
    def _is_private_on_its_way(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")):
            return value
        raise ValueError("name it by https://: who can change the keys on their way can let anybody in")

    @field_validator("oidc_algorithms")
    @classmethod
    def _have_public_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not set(value) <= set(OIDC_ALGORITHMS):
            raise ValueError(f"signatures are some of {', '.join(OIDC_ALGORITHMS)}")
        return value

    @model_validator(mode="after")
    def _nobody_from_outside_without_token(self) -> Self:
        if self.access == "off" and not self._is_loopback:
            raise ValueError(
                f"TRIPTYCH_ACCESS is off, but other machines could reach {self.http_host}: leave it out and make a"
                " token with `triptych token create`, or set TRIPTYCH_HTTP_HOST to 127.0.0.1"
            )
        return self

    @property
    def asks_for_tokens(self) -> bool:
        """Whether the interface is only for those who have a token."""
        return self.access == "tokens" or (self.access == "auto" and not self._is_loopback)

    @property
    def _is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.http_host.strip("[]")).is_loopback
        except ValueError:
            return self.http_host == "localhost"

    @property
    def weights(self) -> dict[str, float]:
        """Share of each phase in the overall percentage."""
        return {
            "training": self.weight_training,
            "face_detection": self.weight_face_detection,
            "clustering": self.weight_clustering,
        }
