"""`muniment privacy recover`: fetch the payloads of a lost database from the other members."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import click

from muniment.kernel.encoding import to_hex
from muniment.kernel.errors import InputError, WaitTimeoutError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.privacy.discovery import Discovery
from muniment.privacy.party_info import normal_or_none
from muniment.privacy.readiness import known_instance
from muniment.privacy.recovering import Recovered
from muniment.privacy.serve import Parts, discovery, mutual_tls, parts
from muniment.privacy.settings import Settings, read

MOST_SHOWN = 20
ANNOUNCING_SECONDS = 10.0
"""How long the others are waited for; then those that did not answer are asked in vain, and it is said."""


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Configuration file of one of the member's privacy managers.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on although the database holds payloads already, or after a recovery that was broken off.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Let the managers serve although something could not be fetched: their nodes will skip those transactions, and"
    " differ from the other parties for ever.",
)
@click.pass_context
def recover(ctx: click.Context, config: Path, resume: bool, partial: bool) -> None:
    """Fetch what the member's lost database held from the managers of the other members.

    The member's managers must run (they take what the others send), on the new and empty database. Afterwards they know
    that database again, and serve. What the member sent to nobody else cannot come back.

    Exit status 0: everything that the others have is here; 1: something could not be fetched, and the managers do not
    serve unless --partial is given.
    """
    settings = read(config)
    result, opened = asyncio.run(_recover(settings, resume=resume, partial=partial))
    for payload_hash, cause in list(result.refused.items())[:MOST_SHOWN]:
        click.echo(f"Not kept: {to_hex(payload_hash)}: {cause}.", err=True)
    if len(result.refused) > MOST_SHOWN:
        click.echo(f"{len(result.refused) - MOST_SHOWN} more were not kept.", err=True)
    click.echo(_conclusion(result, opened=opened, known=bool(known_instance(settings.data_dir))))
    ctx.exit(0 if result.whole else 1)


async def _recover(settings: Settings, *, resume: bool, partial: bool) -> tuple[Recovered, bool]:
    """The result, and whether the managers may serve now."""
    known = known_instance(settings.data_dir)
    async with parts(settings, mutual_tls(settings.tls.p2p)) as made:
        await made.store.migrate()
        instance = await made.store.claim(made.enclave.keys)
        before, empty = await made.store.recovering(), await made.store.is_empty()
        if not resume:
            _check_fresh(recovering=before, empty=empty)
        # A database in use, to which the others add something, is in use afterwards whatever they had.
        serving = instance == known and not before and not empty
        # From now on the gateway lets other members' managers in.
        await made.store.set_recovering(True)
        urls = await _others(settings, made, discovery(settings, made))
        if not urls:
            await made.store.set_recovering(before)
            raise InputError("no other member is known: name their managers as peers in the configuration")
        enough = partial or serving
        result = await made.recovery.run(urls, lambda said: click.echo(f"{said}.", err=True), partial=enough)
        opened = result.whole or enough
        # Not before all is here: what a manager that serves does not have counts as never sent to this member.
        if opened and known:
            await made.store.adopt(known)
        return result, opened


def _check_fresh(*, recovering: bool, empty: bool) -> None:
    if recovering:
        raise InputError("a recovery runs, or was broken off: when none runs, give --resume to begin it again")
    if not empty:
        raise InputError("the database holds payloads already: give --resume to add what the others have")


async def _others(settings: Settings, made: Parts, known: Discovery) -> list[str]:
    """The other members' managers: those that are configured, and those that have announced themselves since."""
    own = normal_or_none(settings.advertised_url) or settings.advertised_url

    async def announced() -> None:
        if not await known.tell(own):
            raise NotYetError("the member's own gateway does not answer")
        missing = await known.announce_once()
        if missing:
            raise NotYetError(f"{missing[0]} does not answer")
        if not await heard():
            raise NotYetError("no other member has announced itself")

    async def heard() -> list[str]:
        keepers = [peer.url for peer in await made.store.peers() if peer.keys]
        normal = (normal_or_none(url) for url in (*settings.peers, *keepers))
        return list(dict.fromkeys(url for url in normal if url is not None and url != own))

    with contextlib.suppress(WaitTimeoutError):
        # They send to the address that they know, and only to somebody who answers there.
        await wait_for("the other members' answers", announced, timeout=ANNOUNCING_SECONDS)
    return await heard()


def _conclusion(result: Recovered, *, opened: bool, known: bool) -> str:
    said = f"{result.kept} payloads are here again"
    if result.whole:
        said += ", all that the other members have."
    else:
        said += f"; {len(result.failed)} managers could not be asked, {len(result.refused)} payloads were not kept."
    if not known:
        return f"{said} This manager's volume knows no database: if another one's does, give that one's configuration."
    if opened:
        return f"{said} The member's managers know this database now."
    return f"{said} The managers do not serve: run this again with --resume, or accept the loss with --partial."
