"""Pictures that a client sends along: read within a limit, whatever the client says of their size."""

from typing import Final

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message

from triptych_gateway.api.errors import ApiError

MOST_FIELDS: Final = 8
_OVERHEAD_BYTES: Final = 64 * 1024
"""Room for a form's other fields and its boundaries."""


async def read_form(request: Request, *, most_bytes: int) -> FormData:
    """The fields of a multipart form. Raises ApiError: body_too_large, invalid_request."""
    received = 0
    limit = most_bytes + _OVERHEAD_BYTES

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(most_bytes)
        return message

    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(most_bytes)
    try:
        return await Request(request.scope, receive).form(
            max_files=1, max_fields=MOST_FIELDS, max_part_size=_OVERHEAD_BYTES
        )
    except HTTPException as error:
        # What the parser's own exception becomes inside an application.
        raise ApiError("invalid_request", f"The form cannot be read: {error.detail}") from error


async def read_picture(form: FormData, *, most_bytes: int) -> bytes:
    """The one file of a form. Raises ApiError: body_too_large, invalid_request."""
    for value in form.values():
        if isinstance(value, UploadFile):
            content = await value.read(most_bytes + 1)
            if len(content) > most_bytes:
                raise _too_large(most_bytes)
            return content
    raise ApiError("invalid_request", "The form holds no file: send the picture as `image`.")


def _too_large(most_bytes: int) -> ApiError:
    return ApiError("body_too_large", f"A picture to search by may have {most_bytes:,} bytes.")
