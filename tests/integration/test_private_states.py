"""Several private states in one node: each of a member's keys sees its own contracts only."""

from __future__ import annotations

from pathlib import Path

import pytest

from muniment.clients.private_transactions import Parties
from tests.support import rpc
from tests.support.consortium import Consortium
from tests.support.ports import port_block
from tests.support.private import CREATION, KEEPER, Private, private_specification

pytestmark = pytest.mark.engines


def test_each_key_has_a_private_state_of_its_own(tmp_path: Path) -> None:
    with port_block() as base:
        specification = private_specification(base)
        specification["privacy"] = {"multiple_states": True}
        specification["members"]["alpha"] |= {"nodes": 1, "privacy_keys": 2}
        consortium = Consortium(tmp_path, specification)
        try:
            consortium.up()
            private = Private(consortium)
            alpha, beta = private.url("alpha-1"), private.url("beta-1")
            receipt = private.mined(beta, private.send(beta, CREATION, Parties([private.key("alpha", 1)])))
            contract = receipt["contractAddress"]
            private.caught_up(["alpha-1"], int(receipt["blockNumber"], 16))
            second = rpc.call(f"{alpha}/?PSI=alpha-2", "eth_getCode", contract, "latest")
            first = rpc.call(f"{alpha}/?PSI=private", "eth_getCode", contract, "latest")
            assert (first, second) == ("0x", "0x" + KEEPER.hex())
        finally:
            consortium.remove()
