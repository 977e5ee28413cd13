"""What people read: what a chain tolerates, where members are reached, how everything is."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator

import click

from muniment.clients.probe import ReadinessClient
from muniment.operate.health import Assessment
from muniment.operate.observe import observe_with
from muniment.operate.record import Record
from muniment.operate.status import Status
from muniment.targets.base import Target

WATCH_SECONDS = 2.0


def assessment(found: Assessment, name: str) -> None:
    """How many faults the chain tolerates, and warnings (these on standard error)."""
    click.echo(
        f"{name}: {_count(found.validators, 'validator')}, {found.quorum} must agree on a block;"
        f" tolerates {_count(found.faults_tolerated, 'fault')} and {_count(found.outages_tolerated, 'outage')}"
    )
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)


def members(record: Record) -> None:
    """Where each member is reached."""
    for member in record.members:
        urls = [f"{name} {url}" for name, url in record.urls(member).items() if url]
        click.echo(f"{member}: {'  '.join(urls)}")


def status(found: Status) -> None:
    """Verdict, members, and one line for each workload."""
    for line in lines(found):
        click.echo(line)


def lines(found: Status) -> Iterator[str]:
    """The text of `muniment status`."""
    cause = f": {found.cause}" if found.cause else ""
    yield f"{found.record.consortium} is {found.verdict}{cause}"
    yield f"tolerates {_count(found.faults_tolerated, 'fault')} of {_count(found.record.validators, 'validator')} now"
    for member in found.record.members:
        yield ""
        yield "  ".join([member, *(f"{name} {url}" for name, url in found.record.urls(member).items() if url)])
        parts = [part for part in found.record.parts if part.member == member]
        width = max(len(part.name) for part in parts)
        for part in parts:
            seen = found.observations[part.name]
            mark = "ready" if seen.ready else "NOT READY" if seen.process.running else "NOT RUNNING"
            pid = f"pid {seen.process.pid}" if seen.process.pid else ""
            restarts = f"restarts {seen.process.restarts}" if seen.process.restarts else ""
            yield f"  {part.name:{width}}  {mark:11}  {pid:11}  {restarts:11}  {seen.cause}".rstrip()
        if database := found.record.databases.get(member):
            yield f"  {'database':{width}}  of its privacy managers: {database}"


def foreground(record: Record, target: Target, *, stop: Callable[[], object]) -> None:
    """Show what changes until Ctrl-C or SIGTERM, or until somebody else stops everything; then stop everything."""
    click.echo("it runs in the foreground: Ctrl-C stops it")
    try:
        asyncio.run(_watch(record, target))
    finally:
        click.echo("stopping")
        stop()


async def _watch(record: Record, target: Target) -> None:
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    last = ""
    async with ReadinessClient() as client:
        while not over.is_set():
            found = await observe_with(record, target, client)
            now = f"{found.verdict}" + (f": {found.cause}" if found.cause else "")
            if now != last:
                click.echo(f"{record.consortium} is {now}")
                last = now
            if not any(seen.process.running or seen.process.starting for seen in found.observations.values()):
                return
            try:
                await asyncio.wait_for(over.wait(), WATCH_SECONDS)
            except TimeoutError:
                continue


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
