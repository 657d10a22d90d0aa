"""Bodies of the audit log."""

from pydantic import Field

from triptych_gateway.api.schemas.base import Body, Time


class AuditEntry(Body):
    """A request that was let through and was to change something."""

    id: int
    at: Time
    request_id: str = Field(description="As the answer had it in its `X-Request-Id`.")
    caller: str | None = Field(description="The token's name; null where no token was asked for.")
    token_id: int | None
    action: str | None = Field(description="Id of the operation; null where the interface has none such.")
    method: str
    path: str
    session_id: int | None = Field(description="The session that it was about.")
    person_id: int | None = Field(description="The person that it was about.")
    status: int = Field(description="How it was answered: below 400 it was done.")
