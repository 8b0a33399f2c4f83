"""Uploaded files, by the URL they were given."""

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tests.servers.ledger import canonical


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """An uploaded file."""

    content: bytes
    content_type: str
    hash: str


def asset(content: bytes, content_type: str) -> Asset:
    return Asset(content=content, content_type=content_type, hash=f"sha256:{sha256(content).hexdigest()}")


def from_data_url(value: object) -> Asset | None:
    """A `data:video/mp4;base64,…` as a file; None where it is no such thing."""
    found = re.match(r"data:([\w.+-]+/[\w.+-]+);base64,", value) if isinstance(value, str) else None
    if found is None or not isinstance(value, str):
        return None
    try:
        return asset(base64.b64decode(value[found.end() :], validate=True), found[1])
    except binascii.Error:
        return None


class Storage:
    """Each upload gets a URL of its own, also of the same content; nothing is ever listed."""

    def __init__(self) -> None:
        self.base = ""
        """Where the assets are served: `http://127.0.0.1:8802/assets/`."""
        self._assets: dict[str, Asset] = {}

    def new_name(self, content_type: str) -> str:
        return f"{uuid.uuid4()}.{content_type.rsplit('/', 1)[-1]}"

    def store(self, stored: Asset, *, name: str | None = None) -> str:
        name = name or self.new_name(stored.content_type)
        self._assets[name] = stored
        return f"{self.base}{name}"

    def named(self, name: str) -> Asset | None:
        return self._assets.get(name)

    def at(self, url: object) -> Asset | None:
        return self._assets.get(url.removeprefix(self.base)) if isinstance(url, str) else None

    def rename(self, url: str, to: str) -> None:
        """Another URL for what is stored."""
        self._assets[to.removeprefix(self.base)] = self._assets.pop(url.removeprefix(self.base))

    def __len__(self) -> int:
        return len(self._assets)

    def delete(self, name: str) -> None:
        self._assets.pop(name, None)

    def clear(self) -> None:
        self._assets.clear()

    def lost(self, inputs: Mapping[str, Any]) -> list[str]:
        """The URLs among the inputs that point in here, where nothing is."""
        urls = [inputs[name] for name in ("video_url", "first_frame_url") if name in inputs]
        return [url for url in urls if url.startswith(self.base) and self.at(url) is None]

    def identity(self, inputs: Mapping[str, Any]) -> str:
        """One spelling of the inputs, however deep: two uploads of the same file are the same source."""
        return canonical({name: self._named_by_content(value) for name, value in inputs.items()})

    def _named_by_content(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._named_by_content(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._named_by_content(inner) for inner in value]
        return found.hash if (found := self.at(value)) else value
