"""What may come back from a cluster: values and errors, and nothing that does something when it is unpacked.

A pickle may name any function to be called while it is read. Whoever has taken over a worker may send one; here it
would be read beside the keys.
"""

import builtins
import io
import pickle
from typing import Any, Final

_VALUES: Final = frozenset(
    {("builtins", name) for name in ("set", "frozenset", "bytearray", "complex", "slice", "range")}
) | {
    ("fractions", "Fraction"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
}
_OURS: Final = (
    "batchmod.work",
    "batchmod.model",
    "batchmod.errors",
    "batchmod.executors.messages",
    "batchmod.executors.errands",
)


def read(packed: bytes) -> Any:
    """The value. Raises pickle.UnpicklingError for one that is not plain."""
    return _Plain(io.BytesIO(packed)).load()


def is_plain(kind: type) -> bool:
    """Whether values of this class may come back."""
    module, name = kind.__module__, kind.__qualname__
    if module == "builtins":
        return (module, name) in _VALUES or issubclass(kind, Exception)
    return (module, name) in _VALUES or any(module == ours or module.startswith(f"{ours}.") for ours in _OURS)


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        ours = any(module == each or module.startswith(f"{each}.") for each in _OURS)
        if ours or (module, name) in _VALUES or (module == "builtins" and hasattr(builtins, name)):
            found = super().find_class(module, name)
            if isinstance(found, type) and is_plain(found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no value")
