"""Who asks, however they showed it."""

from collections.abc import Callable
from dataclasses import dataclass

from triptych_gateway.catalog.access.tokens import SCOPES, Scope


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whoever a credential is of."""

    name: str
    """A token's name, or what an issuer calls whoever it vouches for."""
    key: str
    """The same for all requests of one caller, and of no other."""
    scope: Scope
    holds: Callable[[], bool]
    """Whether its credential holds still."""
    token_id: int | None = None
    """None where it is no token of ours."""

    def may(self, needed: Scope) -> bool:
        """Whether its scope holds another."""
        return SCOPES.index(self.scope) >= SCOPES.index(needed)
