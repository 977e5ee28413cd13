"""The anchoring contract in the genesis: it stands at a fixed address from the first block, so nobody deploys it.

Pure. Its administrator is the account of the member whose name comes first in the alphabet, and every member's account
may anchor: both are independent of the order in which an operator lists the members.
"""

from __future__ import annotations

from muniment.identity.genesis import Allocation
from muniment.identity.model import Identities
from muniment.kernel.encoding import to_hex
from muniment.proof.contract import CONTRACT_ADDRESS, RUNTIME_CODE, storage_at_genesis


def allocation(identities: Identities) -> Allocation:
    """The `alloc` section of the genesis: the contract with its code, administrator and writers."""
    members = sorted(identities.members, key=lambda member: member.member)
    return {
        CONTRACT_ADDRESS.removeprefix("0x").lower(): {
            "balance": "0x0",
            "code": to_hex(RUNTIME_CODE),
            # A contract's account begins with nonce 1 (EIP-161).
            "nonce": "0x1",
            "storage": storage_at_genesis(members[0].account, sorted(member.account for member in members)),
        }
    }
