"""`muniment privacy`: the privacy manager, its keys, and private transactions."""

from __future__ import annotations

import click

from muniment.cli.lazy import Entry, LazyGroup

COMMANDS = {
    "serve": Entry("muniment.cli.privacy_serve:serve", "Run one privacy manager until stopped.", "privacy"),
    "keygen": Entry("muniment.cli.privacy_keys:keygen", "Make a key pair in Tessera's file format.", "privacy"),
    "import": Entry("muniment.cli.privacy_import:import_", "Take over a Tessera or crux database.", "privacy"),
    "recover": Entry("muniment.cli.privacy_recover:recover", "Fetch lost payloads from the other members.", "privacy"),
    "send": Entry("muniment.cli.privacy_send:send", "Sign a private transaction here, and send it.", "notary"),
    "renew": Entry("muniment.cli.privacy_renew:renew", "Make new TLS certificates.", "deploy"),
}


@click.group(cls=LazyGroup, entries=COMMANDS)
def privacy() -> None:
    """The privacy manager: keeps the payloads of private transactions, in SQL, as many replicas as there are nodes."""
