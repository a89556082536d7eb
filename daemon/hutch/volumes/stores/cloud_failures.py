"""What Azure, Google or the way to them said, as one of our errors. obstore hands on the answer as text."""

import re

from obstore import exceptions as obstore

from hutch.volumes.failures import ConflictError, NotFoundError, StoreError
from hutch.volumes.stores.attempts import TransientError
from hutch.volumes.stores.refusals import BeyondEndError, refused

FAILURES = (obstore.BaseError, OSError)  # obstore raises Python's own FileNotFoundError

_STATUS = re.compile(r"status code: (\d{3})|\(code: (\d{3})\)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_SAID = re.compile(r"<Message>([^<\n]*)")
_MISSING = {"BlobNotFound", "NoSuchKey"}
_GONE = "The specified blob does not exist"  # Azure of one of several keys to delete
_REFUSALS = {
    "ContainerNotFound": "store_bucket_missing",
    "ContainerBeingDeleted": "store_bucket_missing",
    "NoSuchBucket": "store_bucket_missing",
    "AuthenticationFailed": "store_credentials",
    "AuthorizationFailure": "store_credentials",
    "InvalidAuthenticationInfo": "store_credentials",
    "AuthenticationRequired": "store_credentials",
    "InvalidAccessKey": "store_credentials",
    "InvalidAccountKey": "store_credentials",
    "InsufficientAccountPermissions": "store_forbidden",
    "AuthorizationPermissionMismatch": "store_forbidden",
    "AccessDenied": "store_forbidden",
    "AccountBeingCreated": "store_forbidden",
    "AccountIsDisabled": "store_forbidden",
    "RequestTimeTooSkewed": "store_clock_skew",
}
_BY_STATUS = {401: "store_credentials", 403: "store_forbidden", 507: "store_full"}
_PASSING = {408, 409, 425, 429}
_SERVER_ERROR = 500
_UNSIGNED = ("Invalid Access Key", "service account", "Error decoding", "token", "credential")


def failure(error: Exception, key: str) -> StoreError:
    """The error to raise for one that `FAILURES` names."""
    text = str(error)
    status = next((int(a or b) for a, b in _STATUS.findall(text)), 0)
    code = next(iter(_CODE.findall(text)), "")
    if isinstance(error, obstore.AlreadyExistsError | obstore.PreconditionError):
        return ConflictError(key)
    if code in _MISSING or _GONE in text:  # a bare 404 could as well be of a wrong endpoint: invariant 7
        return NotFoundError(key)
    if status == 0:
        return _unanswered(text, key)
    message = next(iter(_SAID.findall(text)), "")
    return _refusal(status, code, f"the store answered {status} {code} for object {key!r}: {message}")


def _refusal(status: int, code: str, said: str) -> StoreError:
    if code == "InvalidRange":
        return BeyondEndError(said)
    if named := _REFUSALS.get(code) or _BY_STATUS.get(status):
        return refused(named, said)
    if status >= _SERVER_ERROR or status in _PASSING:
        return TransientError(said)
    return StoreError(said, hint="see storage.url and storage.endpoint_url")


def _unanswered(text: str, key: str) -> StoreError:
    first = text.partition("\n")[0]
    if "token request" in first or ("HTTP error" not in first and any(x in first for x in _UNSIGNED)):
        return refused("store_credentials", first)
    return TransientError(f"object {key!r}: {first}")
