"""Watches the member's nodes: asks each one several times a second and keeps the judgement of all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from muniment.agent.fitness import Fitness, Limits, Memory, Sample, judge, remember
from muniment.agent.maintenance import Maintenance
from muniment.clients.privacy_status import PrivacyStatusClient, SilentError
from muniment.clients.quorum import NoAnswerError, QuorumClient, RpcError
from muniment.kernel.errors import PermanentError, TemporaryError

log = logging.getLogger(__name__)

POLL_INTERVAL = 0.25
"""Seconds from one question to a node to the next one."""

POLL_TIMEOUT = 1.0
"""Seconds that a node has for its answer."""

STANDSTILL = 5.0
"""Seconds without any new judgement after which the agent calls itself dead, so that the gateway stops to trust it."""

# Raft blocks carry nanoseconds (GoQuorum raft/minter.go), all others seconds.
_NANOSECONDS_FROM = 10**14

Clock = Callable[[], float]


class NodeDoor(Protocol):
    """A node as the watch sees it."""

    async def sample(self) -> Sample:
        """What the node shows now; raises `TemporaryError` or `PermanentError` when it does not answer."""


@dataclass(frozen=True)
class Asked:
    """What was found of a privacy manager: why it cannot be used, and whether its answer was late."""

    cause: str
    late: bool


class NodeProbe:
    """The real door: one JSON-RPC batch to the node and, when it has one, one question to its privacy manager.

    That the manager answers late counts only when it is the second time in a row, as with the node itself.
    """

    def __init__(self, rpc: QuorumClient, privacy: PrivacyStatusClient | None) -> None:
        self._rpc = rpc
        self._privacy = privacy
        self._before = Asked("", late=False)

    async def sample(self) -> Sample:
        """See `NodeDoor.sample`."""
        answers, privacy = await asyncio.gather(
            self._rpc.batch(
                [("eth_getBlockByNumber", ["latest", False]), ("net_peerCount", []), ("eth_syncing", [])],
            ),
            self._privacy_cause(),
        )
        return _decoded(answers[0], answers[1], answers[2], privacy)

    async def _privacy_cause(self) -> str:
        if self._privacy is None:
            return ""
        try:
            await self._privacy.ready()
        except SilentError:
            forgiven = not (self._before.cause or self._before.late)
            cause = "" if forgiven else f"its privacy manager did not answer within {POLL_TIMEOUT:g} s"
            self._before = Asked(cause, late=True)
        except (TemporaryError, PermanentError) as error:
            self._before = Asked(f"its privacy manager is not ready: {error}", late=False)
        else:
            self._before = Asked("", late=False)
        return self._before.cause


class NodeWatch:
    """Keeps `fitness` of all nodes up to date while `run` runs.

    `doors` and `min_peers` are keyed by node. A time-out counts only when it is the second in a row: on a busy machine
    one late answer says nothing about the node, and it would hit all nodes together. A refused connection counts at
    once.
    """

    def __init__(
        self,
        doors: Mapping[str, NodeDoor],
        min_peers: Mapping[str, int],
        limits: Limits,
        maintenance: Maintenance,
        clock: Clock = time.monotonic,
    ) -> None:
        self.fitness: dict[str, Fitness] = {}
        self.judged = asyncio.Event()
        self._doors = doors
        self._min_peers = min_peers
        self._limits = limits
        self._maintenance = maintenance
        self._clock = clock
        self._samples: dict[str, Sample] = {}
        self._late: set[str] = set()
        self._memory = Memory()
        self._judged_at = clock()

    @property
    def alive(self) -> bool:
        """Whether judgements are being made."""
        return self.judged.is_set() and self._clock() - self._judged_at < STANDSTILL

    @property
    def maintenance(self) -> frozenset[str]:
        """Nodes in maintenance."""
        return self._maintenance.names

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self._doors:
                group.create_task(self._follow(name))

    async def poll(self, name: str) -> None:
        """Ask one node once, and judge all anew as soon as every node was asked."""
        self._samples[name] = await self._sample(name)
        self._judge()

    def begin_maintenance(self, name: str) -> None:
        """Put a node into maintenance; its fitness says so at once. It does I/O: call it in a thread."""
        self._maintenance.begin(name)

    def end_maintenance(self, name: str) -> None:
        """Take a node out of maintenance. It does I/O: call it in a thread."""
        self._maintenance.end(name)

    def judge_again(self) -> None:
        """Judge with the samples at hand, after maintenance began or ended."""
        self._judge()

    async def _follow(self, name: str) -> None:
        while True:
            began = self._clock()
            await self.poll(name)
            await asyncio.sleep(max(0.0, POLL_INTERVAL - (self._clock() - began)))

    async def _sample(self, name: str) -> Sample:
        try:
            sample = await self._doors[name].sample()
        except NoAnswerError:
            before = self._samples.get(name)
            if before is not None and not before.cause and name not in self._late:
                self._late.add(name)
                return before
            return Sample(cause=f"did not answer within {POLL_TIMEOUT:g} s")
        except RpcError as error:
            return Sample(cause=str(error))
        except (TemporaryError, PermanentError):
            return Sample(cause="does not answer")
        self._late.discard(name)
        return sample

    def _judge(self) -> None:
        if len(self._samples) < len(self._doors):
            return
        now = self._clock()
        self._memory = remember(self._memory, self._samples, now)
        judged = judge(self._samples, self._min_peers, self._maintenance.names, self._memory, self._limits, now)
        for name, fitness in judged.items():
            before = self.fitness.get(name)
            if before is None or before.ready != fitness.ready:
                event = "node is fit" if fitness.ready else "node is not fit"
                log.info(event, extra={"node": name, "cause": fitness.cause, "head": fitness.head})
        self.fitness = judged
        self._judged_at = now
        self.judged.set()


def _decoded(block: object, peers: object, syncing: object, privacy: str) -> Sample:
    try:
        if not isinstance(block, Mapping):
            raise TypeError("no head block")  # noqa: TRY301 - all that is malformed leaves by the one door below
        stamp = int(str(block["timestamp"]), 16)
        return Sample(
            head=int(str(block["number"]), 16),
            head_time=stamp / 1e9 if stamp >= _NANOSECONDS_FROM else float(stamp),
            peers=int(str(peers), 16),
            syncing=bool(syncing),
            privacy=privacy,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise TemporaryError(f"a node answered with a malformed head ({error}): see its log") from error
