"""`muniment privacy recover`: fetch the payloads of a lost database from the other members."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from muniment.kernel.encoding import to_hex
from muniment.kernel.errors import InputError
from muniment.privacy.readiness import known_instance
from muniment.privacy.recovering import Recovered
from muniment.privacy.serve import discovery, mutual_tls, parts
from muniment.privacy.settings import Settings, read

MOST_SHOWN = 20


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Configuration file of one of the member's privacy managers.",
)
@click.option("--resume", is_flag=True, help="Go on although the database holds payloads already.")
@click.pass_context
def recover(ctx: click.Context, config: Path, resume: bool) -> None:
    """Fetch what the member's lost database held from the managers of the other members.

    The member's managers must run (they take what the others send), on the new and empty database. Afterwards they know
    that database again. Exit status 0: everything that the others have is here; 1: something could not be fetched.
    """
    result = asyncio.run(_recover(read(config), resume=resume))
    click.echo(f"{result.kept} payloads are here again")
    for payload_hash, cause in list(result.refused.items())[:MOST_SHOWN]:
        click.echo(f"not kept: {to_hex(payload_hash)}: {cause}", err=True)
    if len(result.refused) > MOST_SHOWN:
        click.echo(f"and {len(result.refused) - MOST_SHOWN} more that were not kept", err=True)
    ctx.exit(0 if result.whole else 1)


async def _recover(settings: Settings, *, resume: bool) -> Recovered:
    async with parts(settings, mutual_tls(settings.tls.p2p)) as made:
        await made.store.migrate()
        await made.store.claim(made.enclave.keys)
        if not resume and not await made.store.is_empty():
            raise InputError("the database holds payloads already: give --resume to add what the others have")
        known = discovery(settings, made)
        # Peers forget who was away for long: they must know where to send.
        await known.announce_once()
        urls = dict.fromkeys((*settings.peers, *(peer.url for peer in await made.store.peers())))
        if not urls:
            raise InputError("no other member is known: name their managers as peers in the configuration")
        result = await made.recovery.run(list(urls), lambda said: click.echo(said, err=True))
        if instance := known_instance(settings.data_dir):
            await made.store.adopt(instance)
        return result
