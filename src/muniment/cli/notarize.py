"""`muniment notarize`: files and folders to a notary, receipts back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click
import stamina.instrumentation

from muniment.cli.endpoints import urls_of
from muniment.cli.notarizing import Notarizing, Order, Outcome
from muniment.cli.progress import listener as progress_listener
from muniment.cli.sources import Source, collect
from muniment.clients.notary import DEFAULT_PATIENCE_SECONDS, NotaryClient
from muniment.kernel.errors import MunimentError
from muniment.kernel.events import Listener


class SomeFailedError(MunimentError):
    """Some files were not notarised; each is named with its cause."""


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--wait",
    type=click.Choice(["stored", "anchored"]),
    default="anchored",
    show_default=True,
    help="Wait until every file has this state: on enough IPFS peers, or in a final block.",
)
@click.option(
    "--receipts",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("receipts"),
    show_default=True,
    help="Folder for the receipts, each named like its file with .receipt.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document about all files, and nothing else.")
@click.option("--notary", "url", help="URL of the notary; by default that of the consortium in --state.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".muniment"),
    show_default=True,
    help="State directory of the consortium.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="Seconds that a file may take to reach the state.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=DEFAULT_PATIENCE_SECONDS,
    show_default=True,
    help="Seconds that a notary that is away is tried again.",
)
def notarize(
    paths: tuple[Path, ...],
    wait: str,
    receipts: Path,
    *,
    as_json: bool,
    url: str | None,
    state: Path,
    timeout: float,
    patience: float,
) -> None:
    """Notarise files and folders: keep their content in IPFS and their digests on the chain.

    Folders are taken with everything in them. Each file is digested here first, so that one that changes meanwhile is
    refused, and what the notary computed is compared. Every file gets a receipt, which `muniment verify` checks.

    Exit status: 0 all notarised, 1 some were not, 2 wrong input.
    """
    sources = collect(paths, besides=receipts)
    address = url or notary_of(state)
    # Its own hooks would write to standard output, which belongs to --json.
    stamina.instrumentation.set_on_retry_hooks([])
    with progress_listener() as listener:
        outcome = asyncio.run(_run(sources, address, Order(wait, timeout, receipts), patience, listener))
    if as_json:
        click.echo(json.dumps(outcome.document(sources), ensure_ascii=False, indent=2))
    else:
        _print(outcome, sources)
    if outcome.failed:
        raise SomeFailedError(_summary(outcome, sources))


async def _run(sources: list[Source], url: str, order: Order, patience: float, listener: Listener) -> Outcome:
    """Notarise; what stops everything (a notary that stays away) becomes the cause of every file not done by then."""
    async with NotaryClient(url, patience=patience) as client:
        run = Notarizing(client, order, listener, len(sources))
        try:
            await run.run(sources)
        except* MunimentError as group:
            cause = str(group.exceptions[0])
            for source in sources:
                if source not in run.outcome.files:
                    run.outcome.failed.setdefault(source, cause)
        return run.outcome


def notary_of(state: Path) -> str:
    """URL of the first notary of the consortium in `state`. Raises `InputError` when there is none."""
    urls = urls_of(state, "notary", "start one with `muniment up`, or give --notary URL")
    return next(iter(urls.values()))


def _print(outcome: Outcome, sources: list[Source]) -> None:
    for source in sources:
        if source in outcome.files:
            file, receipt = outcome.files[source]
            click.echo(f"{file.state}  {source.path}  {receipt}")


def _summary(outcome: Outcome, sources: list[Source]) -> str:
    named = [f"{source.path}: {outcome.failed[source]}" for source in sources if source in outcome.failed]
    more = f" (and {len(named) - 3} more)" if len(named) > 3 else ""
    return f"{len(named)} of {len(sources)} files were not notarised{more}: " + "; ".join(named[:3])
