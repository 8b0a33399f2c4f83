"""The providers there are: name → its facts and its factory; a provider is imported when it is chosen."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final, cast
from urllib.parse import urlsplit

from batchmod.model import Endpoints, ProviderFacts
from batchmod.providers.base import Courier, Executor, Provider, Secret, UploadShelf
from batchmod.urls import origin_of

HOSTED: Final = (
    "segmind",
    "luma",
    "luma-agents",
    "replicate",
    "fal",
    "wavespeed",
    "kie",
    "runway",
)
"""In the order in which they are listed."""
NAMES: Final = (*HOSTED, "local")
LIVE_FILE: Final = Path(__file__).with_name("live.json")
"""Provider → when it was last run against the live service; `make live` writes it."""


def facts(name: str) -> ProviderFacts:
    """A provider's facts. Raises KeyError for a name that is none."""
    if name not in NAMES:
        raise KeyError(name)
    found = cast(ProviderFacts, _module(name).FACTS)
    live = _live(LIVE_FILE).get(name)
    return found if live is None else replace(found, last_run_live=live)


@lru_cache
def _live(file: Path) -> Mapping[str, str]:
    """What `make live` has written; read once, since every row of a manifest asks for its provider's facts."""
    return {str(name): str(said) for name, said in json.loads(file.read_text(encoding="utf-8")).items()}


def _module(name: str) -> ModuleType:
    return import_module(f"batchmod.providers.{name.replace('-', '_')}")


def open_hosted(
    name: str,
    *,
    endpoints: Endpoints,
    key: Secret,
    salt: str,
    shelf: UploadShelf,
    scratch: Path,
    courier: Courier | None = None,
) -> Provider:
    """A hosted provider at these endpoints; `salt` keeps what is written down of the key from being compared."""
    from batchmod.providers.hosted import Dialect, Hosted

    dialect = cast(Dialect, _module(name))
    return Hosted(dialect, endpoints=endpoints, key=key, salt=salt, shelf=shelf, scratch=scratch, courier=courier)


def open_local(*, executor: Executor, scratch: Path, through: str | None = None) -> Provider:
    """The embedded engine; `through`: where in a store workers leave large outputs."""
    from batchmod.providers.local import Local

    return Local(executor=executor, scratch=scratch, through=through)


def endpoints(of: ProviderFacts, environ: Mapping[str, str], check: Callable[[str], str | None]) -> Endpoints | str:
    """Where a provider is asked, from the environment; or what is wrong with that.

    Where the API's own URL is overridden and another role's is not, that role counts as absent: a service of
    one's own must never be mixed with the vendor's. A role without a URL of its own is at the API's.
    """
    overridden = bool(environ.get(of.base_urls["api"][0]))
    found: dict[str, str | None] = {}
    for role, (variable, default) in of.base_urls.items():
        value = environ.get(variable, "").rstrip("/")
        found[role] = value or (default if not overridden or role == "api" else None)
        problem = check(value) if value else None
        if problem:
            return f"{variable}: {problem}"
    return _complete(of, found)


def endpoints_at(of: ProviderFacts, origin: str) -> Endpoints:
    """Where a provider is asked at an origin that the environment does not name (any more)."""
    defaults = {role: default for role, (_, default) in of.base_urls.items()}
    if origin_of(defaults["api"]) == origin:
        return _complete(of, defaults)
    return _complete(of, {"api": origin + urlsplit(defaults["api"]).path})


def _complete(of: ProviderFacts, found: Mapping[str, str | None]) -> Endpoints:
    api = str(found["api"])
    inside = {role: None if role in of.base_urls else api for role in ("upload", "history")}
    return Endpoints(
        api=api,
        upload=found.get("upload", inside["upload"]) if of.uploads else None,
        history=found.get("history", inside["history"]) if of.history else None,
    )
