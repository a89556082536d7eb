"""What an S3 server or the way to it said, as one of our errors."""

import asyncio
from typing import Any

import aiohttp
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from hutch.volumes.failures import ConflictError, NotFoundError, StoreError
from hutch.volumes.stores.attempts import TransientError
from hutch.volumes.stores.refusals import BeyondEndError, refused

FAILURES = (
    boto.BotoCoreError,
    boto.ClientError,
    ResponseParserError,
    aiohttp.ClientError,
    asyncio.TimeoutError,
    OSError,
)

_REFUSALS = {  # the server's code -> ours
    "NoSuchBucket": "store_bucket_missing",
    "InvalidAccessKeyId": "store_credentials",
    "SignatureDoesNotMatch": "store_credentials",
    "ExpiredToken": "store_credentials",
    "InvalidToken": "store_credentials",
    "TokenRefreshRequired": "store_credentials",
    "AccessDenied": "store_forbidden",
    "AllAccessDisabled": "store_forbidden",
    "AccountProblem": "store_forbidden",
    "RequestTimeTooSkewed": "store_clock_skew",
    "RequestExpired": "store_clock_skew",
    "AuthorizationHeaderMalformed": "store_region",
    "IllegalLocationConstraintException": "store_region",
    "PermanentRedirect": "store_region",
    "NotImplemented": "store_unsafe",  # what some servers say to a condition
    "QuotaExceeded": "store_full",
    "XMinioStorageFull": "store_full",
    "InsufficientStorage": "store_full",
}
_TRANSIENT = {
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "BadDigest",
    "IncompleteBody",
}
_TRANSIENT_STATUS = {408, 409, 425, 429}
_DENIED = {401, 403}
_SERVER_ERROR = 500


def failure(error: Exception, key: str) -> StoreError:
    """The error to raise for one that `FAILURES` names."""
    if isinstance(error, boto.ClientError):
        return _refusal(error, key)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.ProfileNotFound):
        return refused("store_credentials", str(error))
    if isinstance(error, boto.CredentialRetrievalError | boto.TokenRetrievalError | boto.SSOError):
        return refused("store_credentials", str(error))
    if isinstance(error, boto.ParamValidationError | boto.SSLError | ResponseParserError):
        return StoreError(f"object {key!r}: {error}", hint="see storage.url and storage.endpoint_url")
    return TransientError(f"object {key!r}: {str(error) or type(error).__name__}")


def _refusal(error: boto.ClientError, key: str) -> StoreError:
    response: dict[str, Any] = error.response
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    message = response.get("Error", {}).get("Message") or ""
    said = f"the store answered {status} {code} for object {key!r}{message and ': '}{message}"
    match code:
        case "NoSuchKey":  # a bare 404 could as well be of a wrong endpoint: invariant 7
            return NotFoundError(key)
        case "PreconditionFailed" | "ConditionalRequestConflict" | "ConcurrentModification":
            return ConflictError(key)
        case "InvalidRange":
            return BeyondEndError(said)
        case _:
            return _other_refusal(code, status, said)


def _other_refusal(code: str, status: int, said: str) -> StoreError:
    if code in _REFUSALS:
        return refused(_REFUSALS[code], said)
    if status >= _SERVER_ERROR or status in _TRANSIENT_STATUS or code in _TRANSIENT:
        return TransientError(said)
    if status in _DENIED:
        return refused("store_forbidden", said)
    return StoreError(said, hint="see storage.url and storage.endpoint_url")
