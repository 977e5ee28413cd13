"""Readiness of workloads over HTTP: one request, and from a refusal the cause."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx2

from muniment.kernel.encoding import parse_json

PROBE_SECONDS = 5.0
LONGEST_CAUSE = 300


class ReadinessClient:
    """Asks readiness URLs; use with `async with`."""

    def __init__(self, *, timeout: float = PROBE_SECONDS) -> None:
        # No proxy from the environment: these are services of this machine or this network.
        self._client = httpx2.AsyncClient(timeout=timeout, trust_env=False)
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def cause(self, url: str, method: str = "GET") -> str:
        """Why what stands behind `url` is not ready: the `cause` of its answer, or what keeps it from answering; empty
        when it answers with a 2xx status. Never raises for a service that is ill."""
        try:
            answer = await self._client.request(method, url)
        except httpx2.TimeoutException:
            return f"no answer within {self._timeout:g} s"
        except httpx2.ConnectError:
            return "it does not listen yet"
        except httpx2.HTTPError as error:
            return f"no answer: {error or type(error).__name__}"
        if answer.is_success:
            return ""
        return _cause(answer.text) or f"it answers with status {answer.status_code}"


def _cause(body: str) -> str:
    """The field `cause` (ours) or `detail` (RFC 9457) of a JSON body."""
    try:
        document = parse_json(body)
    except ValueError:
        return ""
    if not isinstance(document, dict):
        return ""
    return str(document.get("cause") or document.get("detail") or "")[:LONGEST_CAUSE]
