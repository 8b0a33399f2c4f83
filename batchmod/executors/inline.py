"""Work in a thread of this process: for small things."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Inline:
    """Runs in a thread of this process."""

    async def submit(self, function: Callable[..., Result], *values: object) -> Result:
        """Run `function(*values)` in a thread."""
        return await asyncio.to_thread(function, *values)

    def close(self) -> None:
        """Nothing to stop."""
