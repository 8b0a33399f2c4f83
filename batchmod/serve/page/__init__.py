"""The web page: a clip and an edited first frame are dropped, and before and after compared."""

from html import escape
from importlib import resources
from string import Template
from typing import Final

from batchmod.serve.contract import MODES

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Its own files and what the person dropped; nothing of any other host."""

ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#1f2933"/>'
    '<path d="M8 2v12H3a1 1 0 0 1-1-1V3a1 1 0 0 1 1-1z" fill="#f0b429"/></svg>'
)

_TYPES: Final = {"page.css": "text/css", "page.js": "text/javascript"}


def html(*, token: str, needs_key: bool) -> str:
    """The page with this service's token in it."""
    options = "".join(f"<option>{escape(mode)}</option>" for mode in MODES)
    hidden = "" if needs_key else "hidden"
    return Template(_text("index.html")).substitute(token=escape(token), modes=options, key_hidden=hidden)


def asset(name: str) -> tuple[str, str] | None:
    """A file of the page and its media type; None for any other name."""
    return (_text(name), _TYPES[name]) if name in _TYPES else None


def _text(name: str) -> str:
    return resources.files("batchmod.serve.page").joinpath(name).read_text(encoding="utf-8")
