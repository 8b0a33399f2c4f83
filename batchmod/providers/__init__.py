"""The providers there are: name → its facts and its factory; a provider is imported when it is chosen."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from batchmod.model import Endpoints, ProviderFacts
from batchmod.providers.base import Executor, Provider, UploadShelf

HOSTED: Final = ("segmind",)
NAMES: Final = (*HOSTED, "local")


def facts(name: str) -> ProviderFacts:
    """A provider's facts. Raises KeyError for a name that is none."""
    if name not in NAMES:
        raise KeyError(name)
    return cast(ProviderFacts, import_module(f"batchmod.providers.{name}").FACTS)


def open_hosted(name: str, *, endpoints: Endpoints, key: str, salt: str, shelf: UploadShelf) -> Provider:
    """A hosted provider at these endpoints; `salt` keeps what is written down of the key from being compared."""
    from batchmod.providers.hosted import Dialect, Hosted

    dialect = cast(Dialect, import_module(f"batchmod.providers.{name}"))
    return Hosted(dialect, endpoints=endpoints, key=key, salt=salt, shelf=shelf)


def open_local(*, executor: Executor, scratch: Path) -> Provider:
    """The embedded engine."""
    from batchmod.providers.local import Local

    return Local(executor=executor, scratch=scratch)


def endpoints(of: ProviderFacts, environ: Mapping[str, str], check: Callable[[str], str | None]) -> Endpoints | str:
    """Where a provider is asked, from the environment; or what is wrong with that.

    Where the API's own URL is overridden and another role's is not, that role counts as absent: a service of
    one's own must never be mixed with the vendor's.
    """
    overridden = bool(environ.get(of.base_urls["api"][0]))
    found: dict[str, str | None] = {}
    for role, (variable, default) in of.base_urls.items():
        value = environ.get(variable, "").rstrip("/")
        found[role] = value or (default if not overridden or role == "api" else None)
        problem = check(value) if value else None
        if problem:
            return f"{variable}: {problem}"
    return Endpoints(api=str(found["api"]), upload=found.get("upload"), history=found.get("history"))
