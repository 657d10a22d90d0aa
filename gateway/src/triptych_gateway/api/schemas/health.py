"""Bodies of health."""

from typing import Literal

from triptych_gateway.api.schemas.base import Body


class ServiceHealth(Body):
    """One service as the gateway sees it."""

    status: Literal["ok", "away"]
    model: str | None = None
    device: str | None = None
    """Where the model really runs, such as "cpu" or "cuda:0"."""
    precision: str | None = None
    """Numbers that it computes with: fp32, fp16 or bf16."""
    capacity: int | None = None
    """Requests that one replica works on or keeps waiting at once."""
    pack: str | None = None
    notice: str | None = None


class Health(Body):
    """The gateway itself, and what is behind it."""

    status: Literal["ok"]
    services: dict[str, ServiceHealth]
