"""Settings that every process shares, read from the environment."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from triptych_common.errors import ConfigurationError
from triptych_common.models.devices import Device


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
    secrets_dir: Path | None = None
    """Directory with a file for each variable that is not to be in the environment, named as it is and holding its
    value. The environment wins."""

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
    """Directories (or URI prefixes such as s3://bucket/photos) under which photos may be read, separated like PATH.
    Nothing outside them is ever read; empty means that no file is."""
    max_image_bytes: int = Field(default=512 * 2**20, ge=1)
    """Largest encoded file that is read, in bytes."""
    max_image_pixels: int = Field(default=200_000_000, ge=1)
    """Largest picture that is decoded, in pixels (width × height)."""

    @field_validator("media_roots", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part for part in re.split(r":(?!//)", value) if part)
        return value


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
    """Resident memory of the process beyond which further requests are answered RESOURCE_EXHAUSTED, so that the process
    is not killed; no ceiling where it is not set."""
    unload_idle_seconds: float = Field(default=0.0, ge=0)
    """A model that nobody has used for so long is taken out of memory, and loaded again at the next request; 0 for
    never."""

    @field_validator("device")
    @classmethod
    def _is_device(cls, value: str) -> str:
        Device.parse(value)
        return value
