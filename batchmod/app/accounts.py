"""What is left on the accounts whose keys are set, if the services say so at once."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from batchmod import providers
from batchmod.app.services import Services
from batchmod.errors import UsageError
from batchmod.providers.base import Provider, Secret

_PATIENCE_S: Final = 2.0


class _NoShelf:
    """Nothing is uploaded by who only asks."""

    def recall(self, origin: str, sha256: str, *, since: float) -> str | None:  # noqa: ARG002 - nothing is kept
        """Nothing."""
        return None

    def remember(self, origin: str, sha256: str, url: str) -> None:
        """Not kept."""

    def forget(self, origin: str, sha256: str) -> None:
        """Nothing to forget."""


def balances(services: Services, names: Iterable[str]) -> dict[str, float]:
    """Provider → US dollars, of those that have a key here and answer within two seconds."""
    return asyncio.run(_all(services, [name for name in names if services.key(name) is not None]))


async def _all(services: Services, names: list[str]) -> dict[str, float]:
    found = await asyncio.gather(*(_one(services, name) for name in names))
    return {name: balance for name, balance in zip(names, found, strict=True) if balance is not None}


async def _one(services: Services, name: str) -> float | None:
    """One account's balance; None where it cannot be had at once, whatever the reason."""
    try:
        provider = _opened(services, name)
    except UsageError:
        return None
    try:
        return await asyncio.wait_for(provider.balance(), _PATIENCE_S)
    except TimeoutError:
        return None
    finally:
        await provider.close()


def _opened(services: Services, name: str) -> Provider:
    key = services.key(name)
    assert key is not None
    secret = Secret(value=key, variable=str(services.key_variable(name)))
    where = services.endpoints(name)
    return providers.open_hosted(name, endpoints=where, key=secret, salt="", shelf=_NoShelf(), scratch=Path())
