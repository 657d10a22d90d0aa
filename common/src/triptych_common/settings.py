"""Settings that every process shares, read from the environment."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from triptych_common.errors import ConfigurationError
from triptych_common.models.devices import Device
from triptych_common.store_access import StoreAccess


def usable_cores() -> int:
    """Cores that this process may run on, ≥ 1: the default of every number of threads."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ProcessSettings(BaseSettings):
    """Settings of any process: where its log goes and where NATS is."""

    model_config = SettingsConfigDict(
        env_prefix="TRIPTYCH_", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""
    log_format: Literal["json", "console"] = "json"
    """One JSON object per line, or lines for a person."""
    nats_url: str = Field(default="nats://127.0.0.1:4222", validation_alias=AliasChoices("NATS_URL"), repr=False)
    """NATS server(s) with JetStream, comma-separated, with credentials if they are needed."""
    service_token: SecretStr | None = Field(default=None, min_length=16)
    """What gateway and services show each other before one answers the other: the same for all of an installation, 16
    characters or more. Where it is not set, whoever reaches a service may call it. `triptych up` makes one."""
    secrets_dir: Path | None = None
    """Directory with a file for each variable that is not to be in the environment, named as it is and holding its
    value. The environment wins."""

    @property
    def shared_token(self) -> str | None:
        """The token that is shown to services, and asked for by them."""
        return _secret(self.service_token)

    @classmethod
    def read(cls) -> Self:
        """The settings as environment and files have them.

        Raises ValidationError, and ConfigurationError where the directory of files is not there.
        """
        directory = os.environ.get("TRIPTYCH_SECRETS_DIR")
        if directory and not Path(directory).is_dir():
            raise ConfigurationError(f"TRIPTYCH_SECRETS_DIR is no directory: {directory}")
        # pydantic-settings' own keyword, which its plugin for mypy would know.
        keywords: dict[str, Any] = {"_secrets_dir": directory or None}
        return cls(**keywords)


class MetricsSettings(ProcessSettings):
    """Settings of a process that has metrics."""

    metrics_listen: str = ""
    """Address at which metrics are served for Prometheus, host:port; empty for nowhere. `triptych up` counts the port
    up by one from process to process: progress, embedder, facedetect, cluster, gateway."""


class MediaSettings(ProcessSettings):
    """Settings of a process that reads photos."""

    media_roots: Annotated[tuple[str, ...], NoDecode] = ()
    """Directories, and prefixes of buckets such as s3://bucket/photos, under which photos may be read, separated like
    PATH. Nothing outside them is ever read; empty means that no file is."""
    s3_endpoint_url: str | None = None
    """The store of media roots that are buckets, such as https://minio.example:9000; AWS where it is not set. No other
    is ever asked."""
    aws_access_key_id: str | None = Field(default=None, validation_alias=AliasChoices("AWS_ACCESS_KEY_ID"), repr=False)
    """Access key of the store, with the secret one below. Where they are not set, they are looked for where the AWS
    SDKs look: the profile, a web identity, the machine's own role."""
    aws_secret_access_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("AWS_SECRET_ACCESS_KEY"), repr=False
    )
    """The secret one."""
    aws_session_token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("AWS_SESSION_TOKEN"), repr=False
    )
    """The token that belongs to temporary ones."""
    aws_region: str | None = Field(default=None, validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"))
    """Region of the store."""
    max_image_bytes: int = Field(default=512 * 2**20, ge=1)
    """Largest encoded file that is read, in bytes."""
    max_image_pixels: int = Field(default=200_000_000, ge=1)
    """Largest picture that is decoded, in pixels (width × height)."""
    decode_seconds: float = Field(default=60.0, gt=0, le=90)
    """How long decoding one photo may take, in seconds: what takes longer is ended, and the photo has failed. Less than
    the two minutes without a word after which the gateway gives up a worker."""
    decoder_memory_bytes: int | None = Field(default=None, ge=256 * 2**20)
    """Most memory that a process may allocate that decodes photos, in bytes; a photo that needs more is too large.
    Where it is not set, what the largest picture may need, and at most half of the machine's memory or of the
    container's."""

    @field_validator("media_roots", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part for part in re.split(r":(?!//)", value) if part)
        return value

    @field_validator(
        "s3_endpoint_url",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_region",
        mode="before",
    )
    @classmethod
    def _empty_is_not_set(cls, value: Any) -> Any:
        return value or None

    @field_validator("s3_endpoint_url")
    @classmethod
    def _is_endpoint(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        is_plain = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
        if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
            raise ValueError("name it as https://host or https://host:port, and keys in variables of their own")
        return value

    @model_validator(mode="after")
    def _keys_belong_together(self) -> Self:
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            raise ValueError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together: set both, or neither")
        return self

    @property
    def store_access(self) -> StoreAccess:
        """How the store is reached whose buckets are media roots."""
        return StoreAccess(
            endpoint_url=self.s3_endpoint_url,
            region=self.aws_region,
            access_key_id=self.aws_access_key_id,
            secret_access_key=_secret(self.aws_secret_access_key),
            session_token=_secret(self.aws_session_token),
        )


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


class ServiceSettings(MetricsSettings):
    """Settings of a gRPC service that works."""

    listen: str = "127.0.0.1:0"
    """Address that the service listens on, host:port."""
    drain_seconds: float = Field(default=10.0, ge=0)
    """How long calls in flight may go on after SIGTERM before they are cancelled, in seconds."""
    max_concurrent_requests: int = Field(default=8, ge=1)
    """Requests worked on or waiting at once; further ones are answered RESOURCE_EXHAUSTED."""


class PhotoServiceSettings(MediaSettings, ServiceSettings):
    """Settings of a service that takes photos."""

    model: str = "bundled"
    """Backend that runs; `bundled` is what a fresh installation has."""
    device: str = "auto"
    """Where the model runs: `cpu`, `cuda`, `cuda:N`, `tensorrt` or `tensorrt:N`, which all refuse to start where they
    cannot be had, or `auto`, which takes a GPU if there is one."""
    models_dir: Path = Path("/var/lib/triptych/models")
    """Directory of the weights that were fetched; `triptych up` keeps it in its data directory."""
    decode_threads: int = Field(default_factory=usable_cores, ge=1, le=256)
    """Photos that are read and decoded at once."""
    inference_threads: int = Field(default_factory=usable_cores, ge=1, le=256)
    """Threads that the model computes with on a CPU."""
    micro_batch: int | None = Field(default=None, ge=1, le=256)
    """Photos that go through the model at once; an answer leaves, and a cancelled request ends, after each. Where it
    is not set, as many as suit the model on its device and fit into the memory that it has free. Fewer while the device
    is out of memory."""
    decoded_bytes: int = Field(default=512 * 2**20, ge=1)
    """Decoded photos that are held in memory, waiting for the model or in it, in bytes of their pixels. It should hold
    three micro-batches: up to 6 MB a photo for faces, about 1 MB for embeddings."""
    memory_ceiling_bytes: int | None = Field(default=None, ge=1)
    """Resident memory of the process and its decoders beyond which further requests are answered RESOURCE_EXHAUSTED, so
    that it is not killed; no ceiling where it is not set."""
    unload_idle_seconds: float = Field(default=0.0, ge=0)
    """A model that nobody has used for so long is taken out of memory, and loaded again at the next request; 0 for
    never."""

    @field_validator("device")
    @classmethod
    def _is_device(cls, value: str) -> str:
        Device.parse(value)
        return value
