"""`muniment privacy send`: a private transaction, signed here and sent through the member's gateway."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from muniment.cli.endpoints import urls_of
from muniment.clients.private_transactions import Parties, PrivateTransactions, check_keys
from muniment.clients.quorum import QuorumClient
from muniment.identity.store import IdentityStore
from muniment.kernel.errors import InputError
from muniment.notary.ledger import load_account
from muniment.spec.base import NAME_PATTERN
from muniment.spec.load import load

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HEXADECIMAL = re.compile(rb"\s*(0x)?([0-9a-fA-F]{2})+\s*")
_NAME = re.compile(NAME_PATTERN)


@click.command()
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), default=Path(".muniment"), show_default=True,
              help="State directory of a started consortium: for the gateway, and for names of members.")  # fmt: skip
@click.option("--member", help="Whose gateway is used; the first member of the state directory if not given.")
@click.option("--rpc", help="URL of a gateway or node instead of the state directory's.")
@click.option("--keystore", type=click.Path(path_type=Path, dir_okay=False), required=True,
              help="The sender's account: a keystore of version 3, mode 0600.")  # fmt: skip
@click.option("--passphrase-file", type=click.Path(path_type=Path, dir_okay=False), required=True,
              help="File with the keystore's passphrase, mode 0600.")  # fmt: skip
@click.option("--data", required=True, help="What is sent: hexadecimal, or @FILE with hexadecimal or bytes.")
@click.option("--to", help="The contract's address; without, a contract is created.")
@click.option("--private-for", multiple=True, required=True, metavar="KEY|MEMBER",
              help="A party besides the sender's member: its privacy key (base64), or a name. Repeatable.")  # fmt: skip
@click.option("--private-from", metavar="KEY", help="The sender's privacy key; the member's first one if not given.")
@click.option("--flag", type=click.IntRange(0, 3), default=0, show_default=True,
              help="0 standard, 1 party protection, 2 mandatory recipients, 3 private state validation.")  # fmt: skip
@click.option("--mandatory-for", multiple=True, metavar="KEY|MEMBER", help="With --flag 2. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def send(
    state: Path,
    member: str | None,
    rpc: str | None,
    keystore: Path,
    passphrase_file: Path,
    data: str,
    to: str | None,
    private_for: Sequence[str],
    private_from: str | None,
    flag: int,
    mandatory_for: Sequence[str],
    as_json: bool,
) -> None:
    """Sign a private transaction with your own key, send it, and wait until it is in a block.

    The key never leaves this machine; the payload goes to the privacy managers of the parties only.
    """
    account = load_account(keystore, passphrase_file)
    known = _member_keys(state, (*private_for, *mandatory_for))
    parties = Parties(
        [known.get(one, one) for one in private_for],
        private_from,
        flag,
        [known.get(one, one) for one in mandatory_for],
    )
    check_keys([*parties.private_for, *parties.mandatory_for, *([private_from] if private_from else [])])
    if to is not None and not _ADDRESS.fullmatch(to):
        raise InputError(f"--to {to}: a contract's address is 0x and 40 hex digits")
    url = rpc or _gateway(state, member)
    payload = _payload(data)

    async def do() -> Mapping[str, Any]:
        async with QuorumClient(url) as client:
            sender = PrivateTransactions(client, account)
            return await sender.mined(await sender.send(payload, parties, to))

    receipt = asyncio.run(do())
    if as_json:
        click.echo(json.dumps({"transaction": receipt["transactionHash"], "receipt": dict(receipt)}))
        return
    block = int(str(receipt["blockNumber"]), 16)
    created = f", contract {receipt['contractAddress']}" if to is None else ""
    click.echo(f"{receipt['transactionHash']} is in block {block}{created}")


def _gateway(state: Path, member: str | None) -> str:
    urls = urls_of(state, "rpc", "name a gateway by --rpc")
    if member is not None and member not in urls:
        raise InputError(f"there is no member {member} in {state}: there are {', '.join(urls)}")
    return urls[member] if member is not None else next(iter(urls.values()))


def _member_keys(state: Path, given: Sequence[str]) -> Mapping[str, str]:
    """The first privacy key of each member that is named."""
    if not any(_NAME.fullmatch(one) for one in given):
        return {}
    spec = state / "specification.yaml"
    if not spec.exists():
        raise InputError(f"{state} holds no consortium that was started: give privacy keys in the place of names")
    identities = IdentityStore(state / "identity").load(load(spec), state)
    return {each.member: each.privacy.keys[0] for each in identities.members if each.privacy}


def _payload(given: str) -> bytes:
    """The bytes that the user means. A file of hexadecimal digits is what compilers write."""
    if not given.startswith("@"):
        return _hex(given, "--data")
    path = Path(given[1:])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name the file with the data") from error
    hexadecimal = _HEXADECIMAL.fullmatch(content) or not content
    return _hex(content.decode("ascii").strip(), str(path)) if hexadecimal else content


def _hex(text: str, where: str) -> bytes:
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise InputError(f"{where} is no hexadecimal: give two digits a byte, or @FILE") from error
    if not data:
        raise InputError(f"{where} is empty: give the contract's code, or the call")
    return data
