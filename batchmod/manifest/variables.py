"""`${BATCHMOD_VAR_…}` in a text: the one way in which a manifest reads the environment."""

import re
from collections.abc import Mapping
from typing import Final

from batchmod.schema import did_you_mean, shown

PREFIX: Final = "BATCHMOD_VAR_"
_NAMED: Final = re.compile(r"\$\$\{|\$\{([^{}]*)\}")


def substituted(text: str, variables: Mapping[str, str]) -> tuple[str, list[tuple[str, str | None]]]:
    """The text with each `${NAME}` replaced and `$${` written as `${`, and what is wrong: message and hint."""
    faults: list[tuple[str, str | None]] = []

    def value(match: "re.Match[str]") -> str:
        name = match[1]
        if name is None:
            return "${"
        if name not in variables:
            faults.append(_fault(name, variables))
        return variables.get(name, "")

    return _NAMED.sub(value, text), faults


def _fault(name: str, variables: Mapping[str, str]) -> tuple[str, str | None]:
    if not name.startswith(PREFIX):
        hint = f"a manifest reads variables that begin with {PREFIX}, and no others; $${{ is a plain ${{"
        return f"{shown('${' + name + '}')} may not be read", hint
    return f"the environment variable {name} is not set", did_you_mean(name, variables) or f"export {name}=…"
