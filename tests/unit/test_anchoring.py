from __future__ import annotations

from muniment.identity.anchoring import allocation
from muniment.identity.model import Identities
from muniment.proof.contract import CONTRACT_ADDRESS, RUNTIME_CODE, storage_at_genesis
from tests.unit.identities import consortium, member

ALPHA, BETA = member("alpha", first_key=1), member("beta", first_key=2)


def test_the_contract_stands_there() -> None:
    ((address, account),) = allocation(consortium(ALPHA, BETA)).items()
    assert f"0x{address}" == CONTRACT_ADDRESS.lower()
    assert bytes.fromhex(account["code"][2:]) == RUNTIME_CODE
    assert account["nonce"] == "0x1"


def test_the_first_by_name_administers_and_all_may_anchor() -> None:
    (account,) = allocation(consortium(BETA, ALPHA)).values()
    assert account["storage"] == storage_at_genesis(ALPHA.account, [ALPHA.account, BETA.account])


def test_every_operator_computes_the_same() -> None:
    ours = Identities(members=(ALPHA, BETA), own=frozenset({"alpha"}))
    theirs = Identities(members=(BETA, ALPHA), own=frozenset({"beta"}))
    assert allocation(ours) == allocation(theirs)


def test_another_member_makes_another_genesis() -> None:
    assert allocation(consortium(ALPHA)) != allocation(consortium(ALPHA, BETA))
