"""Bodies of logging in."""

from typing import Literal

from pydantic import Field

from triptych_gateway.api.schemas.base import Body, Time


class Login(Body):
    """A token that the page is to go on with."""

    token: str = Field(min_length=1, max_length=200)


class LoggedIn(Body):
    """What the page may do now."""

    name: str = Field(description="The token's.")
    scope: Literal["read", "control", "admin"]
    expires_at: Time | None
