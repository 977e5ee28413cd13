"""The agent's API: what the gateway's checks, `status` and Prometheus read, and how maintenance is set.

A refusal has status 503 and says why in `cause`; an unknown name 404. Bodies are JSON objects.
"""

from __future__ import annotations

from dataclasses import asdict

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from muniment.agent.fitness import Fitness
from muniment.agent.mending import PeerWatch
from muniment.agent.metrics import registry
from muniment.agent.watch import NodeWatch
from muniment.kernel.errors import InputError

_OK = 200
_REFUSED = 503


class Api:
    """The handlers; they only read the latest judgements, so that an answer takes no time."""

    def __init__(self, nodes: NodeWatch, peers: PeerWatch) -> None:
        self._nodes = nodes
        self._peers = peers
        self._registry = registry(nodes, peers)

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/live", self.live),
                Route("/metrics", self.metrics),
                Route("/nodes/{name}/ready", self.node_ready),
                Route("/nodes/{name}/live", self.node_live),
                Route("/nodes/{name}/maintenance", self.maintenance, methods=["PUT", "DELETE"]),
                Route("/peers/{name}/ready", self.peer_ready),
            ],
            exception_handlers={HTTPException: _refuse},
        )

    async def live(self, _request: Request) -> Response:
        """Whether the agent goes on judging."""
        alive = self._nodes.alive
        cause = "" if alive else "the watch over the nodes stands still"
        return JSONResponse({"live": alive, "cause": cause}, _OK if alive else _REFUSED)

    async def metrics(self, _request: Request) -> Response:
        """Prometheus text."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def node_ready(self, request: Request) -> Response:
        """The node's fitness; exactly what the gateway goes by."""
        fitness = self._fitness(request)
        return JSONResponse(asdict(fitness), _OK if fitness.ready else _REFUSED)

    async def node_live(self, request: Request) -> Response:
        """Whether the node answers at all."""
        fitness = self._fitness(request)
        cause = "" if fitness.live else fitness.cause
        return JSONResponse({"live": fitness.live, "cause": cause}, _OK if fitness.live else _REFUSED)

    async def maintenance(self, request: Request) -> Response:
        """Begin (PUT) or end (DELETE) the node's maintenance; durable when it answers, and repeatable."""
        self._fitness(request)
        name = request.path_params["name"]
        begin = request.method == "PUT"
        change = self._nodes.begin_maintenance if begin else self._nodes.end_maintenance
        try:
            await run_in_threadpool(change, name)
        except InputError as error:
            raise HTTPException(500, str(error)) from error
        self._nodes.judge_again()
        return JSONResponse({"node": name, "maintenance": begin})

    async def peer_ready(self, request: Request) -> Response:
        """Whether a kubo or cluster workload is in the full mesh."""
        name = request.path_params["name"]
        fitness = self._peers.fitness.get(name)
        if fitness is None:
            raise HTTPException(404, f"this agent knows no peer {name}")
        return JSONResponse(asdict(fitness), _OK if fitness.ready else _REFUSED)

    def _fitness(self, request: Request) -> Fitness:
        name = request.path_params["name"]
        fitness = self._nodes.fitness.get(name)
        if fitness is None:
            raise HTTPException(404, f"this agent knows no node {name}")
        return fitness


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    return JSONResponse({"cause": error.detail}, error.status_code, headers=error.headers)
