"""Options that several commands share."""

from typing import Annotated

import typer

from triptych_gateway.cli.rest.client import DEFAULT_URL, gateway_host


def gateway_url(value: str) -> str:
    """An address without trailing slashes; raises `typer.BadParameter` where it is none a gateway can have."""
    try:
        gateway_host(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return value.rstrip("/")


GatewayUrl = Annotated[str, typer.Option("--url", callback=gateway_url, help="The gateway.")]

__all__ = ["DEFAULT_URL", "GatewayUrl", "gateway_url"]
