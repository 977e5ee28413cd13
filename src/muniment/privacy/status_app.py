"""The status interface: plain HTTP without secrets, for probes of the gateway, the agent and the target."""

from __future__ import annotations

from collections.abc import Mapping

from muniment.privacy.asgi import JSON, TEXT, App, Handler, Request, Response, text, to_json
from muniment.privacy.metrics import Metrics
from muniment.privacy.readiness import Readiness


class StatusApp:
    """Makes the app."""

    def __init__(self, readiness: Readiness, metrics: Metrics) -> None:
        self._readiness = readiness
        self._metrics = metrics

    def app(self) -> App:
        """The app."""
        routes: Mapping[bytes, Mapping[str, Handler]] = {
            b"/live": {"GET": self._live},
            b"/ready": {"GET": self._ready},
            b"/ready/members": {"GET": self._ready_for_members},
            b"/metrics": {"GET": self._all_metrics},
        }
        return App("status", routes, self._metrics, largest=1024)

    async def _live(self, request: Request) -> Response:
        del request
        return text("the process answers")

    async def _ready(self, request: Request) -> Response:
        del request
        cause = await self._readiness.cause()
        self._metrics.ready.set(not cause)
        return Response(503 if cause else 200, to_json({"ready": not cause, "cause": cause}), JSON)

    async def _ready_for_members(self, request: Request) -> Response:
        """For the gateway: whether other members' managers may come here."""
        del request
        cause = await self._readiness.cause_for_members()
        return Response(503 if cause else 200, to_json({"ready": not cause, "cause": cause}), JSON)

    async def _all_metrics(self, request: Request) -> Response:
        del request
        return Response(200, self._metrics.text(), TEXT)
