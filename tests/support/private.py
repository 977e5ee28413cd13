"""Private transactions against a running consortium: accounts, one small contract, and what each node says of it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from muniment.clients.private_transactions import Parties, PrivateTransactions, sign_private
from muniment.clients.quorum import QuorumClient
from muniment.identity.store import IdentityStore
from muniment.spec.load import load
from muniment.targets.loopback import run_directory
from tests.support import rpc
from tests.support.consortium import Consortium, demo_specification
from tests.support.waiting import wait_until

FIRST_VALUE = 0x42
# Without input it returns the word that it keeps, else it keeps its input:
#   CALLDATASIZE PUSH1 0f JUMPI  PUSH1 0 SLOAD PUSH1 0 MSTORE PUSH1 20 PUSH1 0 RETURN
#   JUMPDEST PUSH1 0 CALLDATALOAD PUSH1 0 SSTORE STOP
KEEPER = bytes.fromhex("36600f57600054600052602060 00f3 5b600035600055 00".replace(" ", ""))
# PUSH1 42 PUSH1 0 SSTORE  PUSH1 17 PUSH1 11 PUSH1 0 CODECOPY  PUSH1 17 PUSH1 0 RETURN
CREATION = bytes.fromhex("6042600055 6017601160003960176000f3".replace(" ", "")) + KEEPER

TIMEOUT = 60.0
UNLOCK = "--allow-insecure-unlock"


def private_specification(base_port: int) -> dict[str, Any]:
    """Alpha with three nodes, beta and gamma with one each; no files."""
    specification = demo_specification(base_port)
    specification["name"] = "trio"
    members = specification["members"]
    members["gamma"] = {"nodes": 1}
    for member in members.values():
        member |= {"peers": 0, "notary": False}
    return specification


def word(value: int) -> bytes:
    """A word of the EVM: input of the contract."""
    return value.to_bytes(32, "big")


@dataclass
class Private:
    """Sends as one account, and asks every node."""

    consortium: Consortium
    account: LocalAccount = field(default_factory=Account.create)
    _urls: dict[str, str] = field(default_factory=dict)

    def key(self, member: str, number: int = 0) -> str:
        """A member's privacy key, base64."""
        state = self.consortium.state
        identities = IdentityStore(state / "identity").load(load(state / "specification.yaml"), state)
        privacy = identities.of(member).privacy
        assert privacy is not None
        return privacy.keys[number]

    def parties(self, *members: str, flag: int = 0, mandatory: Sequence[str] = ()) -> Parties:
        """For these members besides the sender's."""
        return Parties([self.key(one) for one in members], None, flag, [self.key(one) for one in mandatory])

    def send(self, url: str, data: bytes, parties: Parties, to: str | None = None) -> str:
        """Send to the node or gateway at `url`; the transaction's hash. Raises what the library raises."""

        async def do() -> str:
            async with QuorumClient(url) as client:
                return await PrivateTransactions(client, self.account).send(data, parties, to)

        return asyncio.run(do())

    def send_apart(self, first: str, second: str, data: bytes, parties: Parties, to: str) -> str:
        """Store the payload through one node and send the transaction through another; the receipt's status."""

        async def do() -> str:
            async with QuorumClient(first) as storing, QuorumClient(second) as sending:
                stored = await PrivateTransactions(storing, self.account).store(data, parties, to)
                nonce = await sending.transaction_count(self.account.address, "pending")
                raw = sign_private(self.account, nonce=nonce, payload_hash=stored, to=to)
                return str(await sending.call("eth_sendRawPrivateTransaction", ["0x" + raw.hex(), parties.arguments()]))

        return str(self.mined(second, asyncio.run(do()))["status"])

    def create(self, url: str, parties: Parties) -> str:
        """Create the contract and wait for its block; its address."""
        return str(self.mined(url, self.send(url, CREATION, parties))["contractAddress"])

    def mined(self, url: str, transaction: str) -> dict[str, Any]:
        """The receipt, when there is one."""
        return wait_until(
            f"{transaction} in a block",
            lambda: rpc.call(url, "eth_getTransactionReceipt", transaction),
            timeout=TIMEOUT,
        )

    def url(self, node: str) -> str:
        """RPC of a node."""
        if node not in self._urls:
            self._urls.update(
                {w["name"]: w["endpoints"]["rpc"] for w in self.consortium.status()["workloads"] if w["role"] == "node"}
            )
        return self._urls[node]

    def caught_up(self, nodes: Sequence[str], block: int) -> None:
        """Wait until every node has this block."""
        for node in nodes:
            url = self.url(node)
            wait_until(f"block {block} at {node}", lambda url=url: rpc.head(url) >= block, timeout=TIMEOUT)

    def code(self, node: str, contract: str) -> str:
        """Code that a node has at an address; `0x` for none."""
        return str(rpc.call(self.url(node), "eth_getCode", contract, "latest"))

    def value(self, node: str, contract: str) -> int:
        """What the contract keeps, as a node says."""
        return int(rpc.call(self.url(node), "eth_getStorageAt", contract, "0x0", "latest"), 16)

    def root(self, node: str, block: int) -> str:
        """Root of a node's private state after a block."""
        return str(self.ipc(node, "debug_privateStateRoot", hex(block)))

    def ipc(self, node: str, method: str, *params: Any) -> Any:
        """A call on the node's unix socket, where the commanding namespaces are."""
        path = run_directory(self.consortium.state) / node / "geth.ipc"
        return ipc_call(path, method, *params)

    def unlock(self, node: str) -> str:
        """Let a node hold an account, as GoQuorum's own users do it; the account's address.

        It needs a flag that muniment does not give, so the node is launched once more with it.
        """
        launch = self.consortium.state / "config" / node / "launch.json"
        description = json.loads(launch.read_text())
        if UNLOCK not in description["arguments"]:
            description["arguments"].append(UNLOCK)
            launch.write_text(json.dumps(description))
            self.consortium.wait_mended(node, self.consortium.kill(node), timeout=TIMEOUT)
        account = str(self.ipc(node, "personal_newAccount", ""))
        assert self.ipc(node, "personal_unlockAccount", account, "", 0)
        return account

    def send_from(self, node: str, account: str, parties: Parties, *, data: bytes, to: str | None = None) -> str:
        """Send from an account that the node holds; the transaction's hash."""
        wanted: dict[str, Any] = {"from": account, "gas": "0x47b760", "gasPrice": "0x0", "data": "0x" + data.hex()}
        if to is not None:
            wanted["to"] = to
        return str(rpc.call(self.url(node), "eth_sendTransaction", wanted | parties.arguments()))


def ipc_call(path: Path, method: str, *params: Any) -> Any:
    """One JSON-RPC call over a unix socket; raises `rpc.RpcError` on an error answer."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(str(path))
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as answers:
            answer = json.loads(answers.readline())
    if "error" in answer:
        raise rpc.RpcError(f"{method} at {path}: {answer['error']}")
    return answer["result"]
