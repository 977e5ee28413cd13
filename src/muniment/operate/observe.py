"""Observing a deployment: what its target says, and what every workload says of its own readiness."""

from __future__ import annotations

import asyncio

from muniment.clients.probe import ReadinessClient
from muniment.operate.record import Part, Record
from muniment.operate.status import Observation, Status
from muniment.targets.base import Process, Target

ABSENT = "it was not started"
OFTEN = 2
"""From so many restarts on they are worth mentioning beside another cause."""


async def observe(record: Record, target: Target) -> Status:
    """The state of everything, asked at the same time."""
    async with ReadinessClient() as client:
        return await observe_with(record, target, client)


async def observe_with(record: Record, target: Target, client: ReadinessClient) -> Status:
    """`observe` with a client that the caller keeps, for those who ask again and again."""
    processes, fault = await asyncio.to_thread(lambda: (target.observe(), target.fault()))
    found = await asyncio.gather(*(_one(part, processes.get(part.name), client) for part in record.parts))
    return Status(record, {part.name: seen for part, seen in zip(record.parts, found, strict=True)}, fault)


async def _one(part: Part, process: Process | None, client: ReadinessClient) -> Observation:
    if process is None:
        return Observation(Process(part.name, False, None, 0, ABSENT), False, ABSENT)
    if not process.running:
        return Observation(process, False, process.cause)
    cause = process.unready
    if cause is None:
        cause = await client.cause(part.ready.url, part.ready.method)
    if cause and process.restarts >= OFTEN:
        cause = f"{cause}; it was started again {process.restarts} times: see `muniment logs {part.name}`"
    return Observation(process, not cause, cause)
