"""What the libraries of the stores raise → what happened, where, and what to do next."""

import errno
from collections.abc import Iterator
from typing import Final

from batchmod.errors import StorageError

_NO_CREDENTIALS: Final = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"}
    | {"TokenRetrievalError", "UnauthorizedSSOTokenError", "SSOTokenLoadError", "DefaultCredentialsError"}
    | {"RefreshError", "CredentialUnavailableError", "ConfigNotFound", "ConfigParseError"}
)
_UNREACHABLE: Final = frozenset(
    {"EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError", "HTTPClientError"}
    | {"ProxyConnectionError", "SSLError", "ClientConnectionError", "ClientPayloadError", "ServerTimeoutError"}
    | {"ServiceRequestError", "ServiceResponseError", "FSTimeoutError", "ResponseStreamingError"}
    | {"ConnectionError", "TimeoutError", "gaierror", "IncompleteReadError", "TransportError"}
)
_REFUSED: Final = frozenset({"PermissionError", "ClientAuthenticationError", "Forbidden"})
_MISSING: Final = frozenset({"FileNotFoundError", "ResourceNotFoundError", "NotFound"})
_THERE: Final = frozenset({"FileExistsError", "ResourceExistsError"})
_BUSY: Final = frozenset({errno.EBUSY, getattr(errno, "EREMOTEIO", errno.EIO), errno.EIO})
_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_SETTINGS: Final = {
    "s3": "the environment, AWS_PROFILE or ~/.aws must hold keys, or the machine a role",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or log in with gcloud",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_CONNECTION_STRING",
}
_MOST_WORDS: Final = 200


def trouble_of(error: BaseException, url: str, *, store: str) -> StorageError:
    """The error in our words. `store`: `s3`, `gs` or `az`. An OSError of this machine's disk is raised as it is."""
    if isinstance(error, OSError) and error.errno in _DISK:
        raise error
    names = {name for each in _chain(error) for name in _names(each)}
    words = _words(error)
    if names & _NO_CREDENTIALS:
        message = f"{url}: no credentials for the store ({words}): {_SETTINGS[store]}"
        return StorageError(message, slug="no_store_credentials")
    if names & _THERE:
        return StorageError(f"{url} is there already", slug="object_there")
    if names & _MISSING:
        return _missing(url, words)
    if names & _REFUSED:
        message = f"{url}: the store refuses it ({words}): look at what these credentials may do there"
        return StorageError(message, slug="store_refused")
    if names & _UNREACHABLE:
        return StorageError(f"{url}: the store cannot be reached ({words})", slug="store_unreachable", retry=True)
    busy = isinstance(error, OSError) and error.errno in _BUSY
    return StorageError(f"{url}: the store failed ({words})", slug="store_failed", retry=busy)


def _missing(url: str, words: str) -> StorageError:
    if "bucket does not exist" in words or "NoSuchBucket" in words:
        bucket = "/".join(url.split("/")[:3])
        return StorageError(f"{url}: there is no {bucket}: check the bucket's name", slug="bucket_missing")
    return StorageError(f"{url} is not there: check the bucket and the name, letter by letter", slug="object_missing")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it."""
    while error is not None:
        yield error
        error = error.__cause__


def _names(error: BaseException) -> Iterator[str]:
    return (each.__name__ for each in type(error).__mro__)


def _words(error: BaseException) -> str:
    """The library's own words, on one line; their types alone where they have none."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.partition("?")[0][:_MOST_WORDS]
