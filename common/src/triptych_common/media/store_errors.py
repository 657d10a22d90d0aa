"""What the errors of an object store mean: for a photo, or that the store is away and says nothing about any.

Texts name codes and classes only: what a store or its client says may hold the names of keys.
"""

import asyncio
import errno
from typing import Final

import aiohttp
from botocore import exceptions

from triptych_common.errors import AwayError

RETRY_AFTER_SECONDS: Final = 2.0
"""After how long a store that is away is asked again."""
_AWAY_STATUSES: Final = frozenset({408, 429, 502, 503, 504})
_AWAY_CODES: Final = frozenset(
    {
        *("SlowDown", "ServiceUnavailable", "RequestTimeout", "Throttling", "RequestLimitExceeded"),
        # Credentials that whoever renews them has not renewed yet, and clocks that are being set.
        *("ExpiredToken", "TokenRefreshRequired", "RequestTimeTooSkewed"),
    }
)
_ARCHIVED: Final = "InvalidObjectState"
_NO_CONNECTION: Final = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    exceptions.CredentialRetrievalError,
    exceptions.MetadataRetrievalError,
    aiohttp.ClientError,
    asyncio.TimeoutError,
    ConnectionError,
)
_NO_CREDENTIALS: Final = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.NoAuthTokenError,
    exceptions.TokenRetrievalError,
    exceptions.UnauthorizedSSOTokenError,
)


class NoSuchBucketError(FileNotFoundError):
    """The bucket itself is not there, so nothing is known of what it held."""


class BrokenOffError(OSError):
    """An answer ended before its end."""


def store_error(error: Exception, bucket: str) -> OSError | AwayError | None:
    """What an error of the client means; None for one that it does not raise of a store."""
    # s3fs raises an OSError of its own, from what its client raised.
    cause = error.__cause__ if isinstance(error.__cause__, exceptions.ClientError) else error
    if isinstance(cause, exceptions.ClientError):
        return _refusal(cause, bucket)
    if isinstance(cause, _NO_CREDENTIALS):
        return PermissionError(errno.EACCES, "no credentials for the object store were found")
    if isinstance(cause, _NO_CONNECTION):
        return away(bucket, type(cause).__name__)
    if isinstance(cause, exceptions.BotoCoreError):
        return OSError(errno.EIO, f"the object store's client raised {type(cause).__name__}")
    return cause if isinstance(cause, OSError) else None


def away(bucket: str, why: str) -> AwayError:
    """The store of a bucket does not answer."""
    return AwayError(
        f"The object store of s3://{bucket} is away ({why}); try again in a moment.",
        reason="STORE_AWAY",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def _refusal(error: exceptions.ClientError, bucket: str) -> OSError | AwayError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _AWAY_CODES or status in _AWAY_STATUSES:
        return away(bucket, f"{status} {code}")
    if code == "NoSuchBucket":
        return NoSuchBucketError(errno.ENOENT, "the bucket does not exist")
    if status == 404:
        return FileNotFoundError(errno.ENOENT, "the object does not exist")
    if code == _ARCHIVED:
        return OSError(errno.EIO, "the object is archived and has to be restored first")
    if status in {401, 403}:
        return PermissionError(errno.EACCES, f"the object store refuses it ({code})")
    return OSError(errno.EIO, f"the object store answered {status} {code}")
