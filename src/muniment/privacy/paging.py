"""Reading many payloads, a page at a time. Pages are short where payloads are large.

Payloads come in the order of their hashes, which says nothing of their size: the next page is like the last one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from muniment.privacy.patience import patience
from muniment.privacy.values import Payload

FIRST_PAGE: Final = 8
LONGEST_PAGE: Final = 200
PAGE_BYTES: Final = 8 << 20
"""About so many bytes of payloads are read at once."""

PATIENCE_SECONDS: Final = 60.0
"""How long the database may be away in the middle of a work that takes its time anyway."""


async def pages(read: Callable[[bytes, int], Awaitable[Sequence[Payload]]]) -> AsyncIterator[Sequence[Payload]]:
    """All payloads that `read` gives for (after this hash, at most so many), page by page; no page is empty."""
    after, limit = b"", FIRST_PAGE
    while True:
        with patience(PATIENCE_SECONDS):
            page = await read(after, limit)
        if not page:
            return
        after = page[-1].hash
        yield page
        mean = sum(len(payload.ciphertext) for payload in page) // len(page)
        limit = max(1, min(LONGEST_PAGE, PAGE_BYTES // mean))
