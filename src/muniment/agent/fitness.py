"""Whether a node may take traffic now. Pure: samples in, judgements out.

A node is fit when it answers, is not in maintenance, does not say that it is syncing, has its minimum of peers, is in
sync with the best sibling, and its privacy manager (when it has one) is up.

**In sync.** Heads are compared among the member's own nodes. The *best head* is the highest that a node of the member
shows now. A node lacks a block from the moment at which some sibling first showed a head above the node's own; the
time since that moment is the node's `lag_seconds`, measured by the agent's own clock. The invariant:

    A node in sync shows every block that a sibling has shown for longer than `max_lag_seconds`,
    it is at most `max_lag_blocks` blocks, or `max_lag_seconds` of chain time, behind the best head,
    and since it answers again it has once shown what was the best head when it began to answer.

- Nodes are asked at slightly different instants, so healthy nodes differ by a block: nothing is lacked for long.
- After a pause (empty blocks every 30 s, say) a node that has not yet the newest block is 30 s behind by the blocks'
  time stamps, but lacks it only for moments: it stays fit. If it goes on lacking it, it becomes unfit, however small
  the lag in blocks: a client must not wait half a minute for a receipt that a sibling already has.
- A node that comes back behind is unfit at once, even by one block, and even when the agent has just started and
  remembers nothing: such a node may fetch nothing before the engine's next sync cycle, ten seconds later (eth/sync.go),
  and takes no part in the consensus meanwhile.
- Chain time beside blocks is for consensus that makes many blocks a second (raft).
- The node with the best head is never unfit for its lag. All nodes far behind together, a chain that stands still, a
  single node: lag says nothing there, and the other conditions decide.
- Heads above the present best one are forgotten, so that a chain that was begun anew does not condemn its nodes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

MEMORY = 1024
"""Number of best heads that are remembered; a node behind all of them lags by at least the age of the oldest."""


@dataclass(frozen=True)
class Sample:
    """What one node showed at one poll. `cause` says why it did not answer; then the rest means nothing."""

    cause: str = ""
    head: int = 0
    """Number of its head block."""
    head_time: float = 0.0
    """Time stamp of its head block, in seconds since 1970."""
    peers: int = 0
    """Connected devp2p peers."""
    syncing: bool = False
    """What eth_syncing says."""
    privacy: str = ""
    """Why its privacy manager cannot be used; empty when it can, or when none is configured."""


@dataclass(frozen=True)
class Limits:
    """How far behind a node may be; see the invariant above."""

    max_lag_blocks: int
    max_lag_seconds: float


@dataclass(frozen=True)
class Shown:
    """The best head rose to `number` at the time `at` (seconds of the agent's monotonic clock)."""

    number: int
    at: float


History = tuple[Shown, ...]
"""Rises of the best head, both fields strictly increasing."""


@dataclass(frozen=True)
class Memory:
    """What is remembered from one judgement to the next."""

    history: History = ()
    due: Mapping[str, int] = field(default_factory=dict)
    """By node that answers: the best head when it began to answer."""


@dataclass(frozen=True)
class Fitness:
    """The judgement of one node. `cause` is one phrase that says why it is not ready; empty when it is."""

    ready: bool
    live: bool
    cause: str
    head: int | None = None
    lag_blocks: int | None = None
    lag_seconds: float | None = None
    peers: int | None = None


@dataclass(frozen=True)
class Moment:
    """All that a judgement needs besides a node's own sample."""

    best: int
    best_time: float
    best_name: str
    memory: Memory
    now: float


def remember(memory: Memory, samples: Mapping[str, Sample], now: float) -> Memory:
    """The memory after `samples` were taken at `now`."""
    heads = {name: sample.head for name, sample in samples.items() if not sample.cause}
    if not heads:
        return Memory(memory.history)
    best = max(heads.values())
    kept = tuple(shown for shown in memory.history if shown.number <= best)
    if not kept or kept[-1].number < best:
        kept = (*kept, Shown(best, now))
    # What nobody shows any more is not due.
    return Memory(kept[-MEMORY:], {name: min(memory.due.get(name, best), best) for name in heads})


def judge(
    samples: Mapping[str, Sample],
    min_peers: Mapping[str, int],
    maintenance: Collection[str],
    memory: Memory,
    limits: Limits,
    now: float,
) -> dict[str, Fitness]:
    """The fitness of every node in `samples`; `memory` must already hold them."""
    moment = _moment(samples, memory, now)
    return {
        name: _judge_one(name, sample, min_peers.get(name, 0), name in maintenance, moment, limits)
        for name, sample in samples.items()
    }


def lacking_since(head: int, history: Sequence[Shown]) -> float | None:
    """When a sibling first showed a block above `head`; `None` when none did."""
    first_above = bisect_right(history, head, key=lambda shown: shown.number)
    return history[first_above].at if first_above < len(history) else None


def _moment(samples: Mapping[str, Sample], memory: Memory, now: float) -> Moment:
    answering = [(sample.head, sample.head_time, name) for name, sample in samples.items() if not sample.cause]
    best, best_time, best_name = max(answering, default=(0, 0.0, ""))
    return Moment(best=best, best_time=best_time, best_name=best_name, memory=memory, now=now)


def _judge_one(
    name: str, sample: Sample, min_peers: int, in_maintenance: bool, moment: Moment, limits: Limits
) -> Fitness:
    if sample.cause:
        return Fitness(ready=False, live=False, cause=sample.cause)
    since = lacking_since(sample.head, moment.memory.history)
    lag_blocks = moment.best - sample.head
    lag_seconds = 0.0 if since is None else max(0.0, moment.now - since)
    cause = (
        _maintenance_cause(in_maintenance)
        or _engine_cause(sample, min_peers)
        or _lag_cause(sample, lag_blocks, lag_seconds, moment, limits)
        or _due_cause(sample, lag_blocks, moment.memory.due.get(name, 0), moment.best_name)
        or sample.privacy
    )
    return Fitness(
        ready=not cause,
        live=True,
        cause=cause,
        head=sample.head,
        lag_blocks=lag_blocks,
        lag_seconds=lag_seconds,
        peers=sample.peers,
    )


def _maintenance_cause(in_maintenance: bool) -> str:
    return "in maintenance" if in_maintenance else ""


def _engine_cause(sample: Sample, min_peers: int) -> str:
    if sample.syncing:
        return "syncing"
    if sample.peers < min_peers:
        return f"has {sample.peers} peers, needs {min_peers}"
    return ""


def _lag_cause(sample: Sample, lag_blocks: int, lag_seconds: float, moment: Moment, limits: Limits) -> str:
    if lag_blocks <= 0:
        return ""
    behind = _behind(lag_blocks, moment.best_name)
    if lag_seconds > limits.max_lag_seconds:
        return f"{behind} for {lag_seconds:.1f} s"
    if lag_blocks > limits.max_lag_blocks and moment.best_time - sample.head_time > limits.max_lag_seconds:
        return behind
    return ""


def _due_cause(sample: Sample, lag_blocks: int, due: int, best_name: str) -> str:
    return f"{_behind(lag_blocks, best_name)} since it answers again" if sample.head < due else ""


def _behind(lag_blocks: int, best_name: str) -> str:
    return f"{lag_blocks} block{'s' if lag_blocks > 1 else ''} behind {best_name}"
