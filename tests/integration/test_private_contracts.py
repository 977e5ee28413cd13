"""Private contracts on real nodes: equal at their parties, nothing elsewhere, and the rules of every privacy flag."""

from __future__ import annotations

import pytest

from muniment.clients.private_transactions import Parties
from muniment.clients.quorum import RpcError
from muniment.kernel.errors import InputError
from tests.support import rpc
from tests.support.private import CREATION, FIRST_VALUE, KEEPER, Private, word
from tests.support.waiting import wait_until

pytestmark = pytest.mark.engines

ALPHA = ("alpha-1", "alpha-2", "alpha-3")
EVERYBODY = (*ALPHA, "beta-1", "gamma-1")
HAVE_IT = "0x" + KEEPER.hex()


def created(trio: Private, parties: Parties) -> str:
    """A contract made through alpha-1, in a block that every node has."""
    receipt = trio.mined(trio.url("alpha-1"), trio.send(trio.url("alpha-1"), CREATION, parties))
    assert receipt["status"] == "0x1"
    trio.caught_up(EVERYBODY, int(receipt["blockNumber"], 16))
    return str(receipt["contractAddress"])


def called(trio: Private, contract: str, value: int, parties: Parties, node: str = "alpha-1") -> str:
    """Let the contract keep a value; the receipt's status, when every node has the block."""
    receipt = trio.mined(trio.url(node), trio.send(trio.url(node), word(value), parties, contract))
    trio.caught_up(EVERYBODY, int(receipt["blockNumber"], 16))
    return str(receipt["status"])


def values(trio: Private, contract: str) -> list[int]:
    return [trio.value(node, contract) for node in EVERYBODY]


def test_a_private_contract_is_equal_at_all_nodes_of_its_parties_and_nothing_elsewhere(trio: Private) -> None:
    contract = created(trio, trio.parties("beta"))
    assert [trio.code(node, contract) for node in EVERYBODY] == [HAVE_IT] * 4 + ["0x"]
    assert values(trio, contract) == [FIRST_VALUE] * 4 + [0]
    assert called(trio, contract, 7, trio.parties("beta")) == "0x1"
    assert values(trio, contract) == [7] * 4 + [0]
    head = min(rpc.head(trio.url(node)) for node in EVERYBODY)
    roots = {node: trio.root(node, head) for node in EVERYBODY}
    assert len({roots[node] for node in ALPHA}) == 1, roots
    assert roots["gamma-1"] != roots["alpha-1"]


def test_a_transaction_signed_outside_works_through_any_node_of_the_member(trio: Private) -> None:
    contract = created(trio, trio.parties("beta"))
    nodes = [trio.url(node) for node in ALPHA]
    # The payload is stored through one node, and the transaction handed to another: their managers share a database.
    assert trio.send_apart(nodes[0], nodes[1], word(11), trio.parties("beta"), contract) == "0x1"
    assert trio.send_apart(nodes[2], nodes[0], word(12), trio.parties("beta"), contract) == "0x1"
    gateway = trio.consortium.member("alpha")["rpc"]
    receipt = trio.mined(gateway, trio.send(gateway, word(13), trio.parties("beta"), contract))
    trio.caught_up(EVERYBODY, int(receipt["blockNumber"], 16))
    assert values(trio, contract) == [13] * 4 + [0]


def test_a_node_signs_for_an_account_that_it_holds(trio: Private) -> None:
    account = trio.unlock("alpha-1")
    url = trio.url("alpha-1")
    receipt = trio.mined(url, trio.send_from("alpha-1", account, trio.parties("beta"), data=CREATION))
    assert receipt["status"] == "0x1"
    trio.caught_up(EVERYBODY, int(receipt["blockNumber"], 16))
    assert values(trio, receipt["contractAddress"]) == [FIRST_VALUE] * 4 + [0]


def test_party_protection_lets_parties_in_and_nobody_else(trio: Private) -> None:
    parties = trio.parties("beta", flag=1)
    contract = created(trio, parties)
    assert called(trio, contract, 21, parties) == "0x1"
    assert values(trio, contract) == [21] * 4 + [0]
    stranger = Private(trio.consortium)
    with pytest.raises(RpcError, match="contract not found"):
        called(stranger, contract, 22, trio.parties("alpha", flag=1), "gamma-1")
    with pytest.raises(RpcError, match="privacy flag doesn't match"):
        called(trio, contract, 23, trio.parties("beta"))
    assert values(trio, contract) == [21] * 4 + [0]


def test_mandatory_recipients_cannot_be_left_out(trio: Private) -> None:
    parties = trio.parties("beta", flag=2, mandatory=["beta"])
    contract = created(trio, parties)
    assert called(trio, contract, 31, parties) == "0x1"
    with pytest.raises(RpcError, match="403 status: a mandatory recipient"):
        called(trio, contract, 32, trio.parties("gamma", flag=2, mandatory=["gamma"]))
    assert values(trio, contract) == [31] * 4 + [0]


def test_private_state_validation_keeps_the_parties_the_same(trio: Private) -> None:
    account = trio.unlock("alpha-1")
    parties = trio.parties("beta", flag=3)
    with pytest.raises(InputError, match="eth_sendTransaction"):
        trio.send(trio.url("alpha-1"), CREATION, parties)
    receipt = trio.mined(trio.url("alpha-1"), trio.send_from("alpha-1", account, parties, data=CREATION))
    assert receipt["status"] == "0x1"
    contract = receipt["contractAddress"]
    trio.caught_up(EVERYBODY, int(receipt["blockNumber"], 16))
    assert called(trio, contract, 41, parties) == "0x1"
    for others in (trio.parties("beta", "gamma", flag=3), trio.parties(flag=3)):
        with pytest.raises(RpcError, match="403 status: the recipients are not those"):
            called(trio, contract, 42, others)
    assert values(trio, contract) == [41] * 4 + [0]


def test_a_contract_is_extended_to_a_new_party_by_those_who_may(trio: Private) -> None:
    account = trio.unlock("alpha-1")
    accepting = trio.unlock("gamma-1")
    url = trio.url("alpha-1")
    receipt = trio.mined(url, trio.send_from("alpha-1", account, trio.parties("beta"), data=CREATION))
    contract = receipt["contractAddress"]
    trio.caught_up(EVERYBODY, int(receipt["blockNumber"], 16))
    assert called(trio, contract, 51, trio.parties("beta")) == "0x1"
    common = {"gas": "0x47b760", "gasPrice": "0x0"}
    ours = common | {"from": account, "privateFor": [trio.key("gamma")]}
    theirs = common | {"from": accepting, "privateFor": [trio.key("alpha")]}

    # Who is no party cannot extend a contract.
    with pytest.raises(rpc.RpcError):
        trio.ipc("gamma-1", "quorumExtension_extendContract", contract, trio.key("beta"), accepting, theirs)

    offered = trio.ipc("alpha-1", "quorumExtension_extendContract", contract, trio.key("gamma"), accepting, ours)
    trio.mined(url, offered)

    def management() -> str:
        active = trio.ipc("gamma-1", "quorumExtension_activeExtensionContracts")
        return next((one["managementContractAddress"] for one in active if one["contractExtended"] == contract), "")

    place = wait_until("the extension at gamma", management, timeout=30)
    assert trio.value("gamma-1", contract) == 0
    trio.mined(trio.url("gamma-1"), trio.ipc("gamma-1", "quorumExtension_approveExtension", place, True, theirs))
    wait_until("gamma to have the contract", lambda: trio.value("gamma-1", contract) == 51, timeout=60)
    assert trio.code("gamma-1", contract) == HAVE_IT
