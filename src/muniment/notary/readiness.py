"""Whether the notary can do its work now: database, gateway, contract, enough peers; with the cause when not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from muniment.kernel.errors import MunimentError

CHECK_SECONDS: Final = 3.0
"""What takes longer to answer counts as away."""

FRESH_SECONDS: Final = 0.5
"""A judgement is used again for so long, so that many who ask do not ask the world many times."""

Check = Callable[[], Awaitable[object]]
"""Returns when the thing is usable; raises `MunimentError` saying why not."""


class Readiness:
    """Asks everything that the notary needs, all at once, when it is asked."""

    def __init__(self, checks: Mapping[str, Check], peers: Mapping[str, Check], minimum_peers: int) -> None:
        self._checks = checks
        self._peers = peers
        self._minimum_peers = minimum_peers
        self._judged_at = float("-inf")
        self._causes: dict[str, str] = {}
        self._one_judge = asyncio.Lock()

    async def causes(self) -> dict[str, str]:
        """What is not usable and why, by name; empty when the notary is ready."""
        async with self._one_judge:
            if time.monotonic() - self._judged_at > FRESH_SECONDS:
                self._causes = await self._judge()
                self._judged_at = time.monotonic()
            return self._causes

    async def _judge(self) -> dict[str, str]:
        names = [*self._checks, *self._peers]
        said = await asyncio.gather(*(_ask(check) for check in (*self._checks.values(), *self._peers.values())))
        by_name = dict(zip(names, said, strict=True))
        causes = {name: cause for name in self._checks if (cause := by_name[name])}
        down = {name: cause for name in self._peers if (cause := by_name[name])}
        usable = len(self._peers) - len(down)
        if usable < self._minimum_peers:
            details = "; ".join(down.values())
            causes["peers"] = f"{usable} IPFS peers are usable and {self._minimum_peers} must be ({details})"
        return causes


async def _ask(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except MunimentError as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:g} s"
    return ""
