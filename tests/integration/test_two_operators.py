"""Promise: two operators who exchange only their public files run one consortium together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import rpc
from tests.support.consortium import Consortium
from tests.support.ports import port_block
from tests.support.waiting import BLOCKS, STARTED, wait_until
from tests.support.writer import Writer

pytestmark = pytest.mark.engines


def specification(base_port: int, **members: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "shared",
        "chain": {"id": 92, "empty_block_period_seconds": 5},
        "ports": {"base": base_port},
        "members": members,
    }


@pytest.fixture
def operators(tmp_path: Path) -> Iterator[tuple[Consortium, Consortium]]:
    # Three validators and one: two faults of alpha stop the chain, and beta takes part in the quorum.
    alpha_own = {"nodes": 2, "peers": 2}
    beta_own = {"nodes": 2, "peers": 0, "notary": False}
    with port_block() as first, port_block() as second:
        alpha = Consortium(tmp_path / "alpha", specification(first, alpha=alpha_own, beta=beta_own))
        beta = Consortium(tmp_path / "beta", specification(second, alpha=alpha_own, beta=beta_own))
        try:
            yield alpha, beta
        finally:
            alpha.remove()
            beta.remove()


def test_public_files_are_enough(operators: tuple[Consortium, Consortium]) -> None:
    alpha, beta = operators
    for consortium, own in ((alpha, "alpha"), (beta, "beta")):
        consortium.run(
            "member", "export", own, consortium.spec_file, "--state", consortium.state, "-o",
            consortium.folder / f"{own}.public.yaml",
        )  # fmt: skip
    for consortium, other, came_from in ((alpha, "beta", beta), (beta, "alpha", alpha)):
        shutil.copy(came_from.folder / f"{other}.public.yaml", consortium.folder)
        consortium.specification["members"][other] = {"identity": f"{other}.public.yaml"}
        consortium.__post_init__()
        shutil.rmtree(consortium.state / "identity" / other)
    # The secrets of the private swarm are the one thing that operators share by a channel of their own.
    shutil.rmtree(beta.state / "identity" / "consortium")
    shutil.copytree(alpha.state / "identity" / "consortium", beta.state / "identity" / "consortium")

    alpha.run("up", alpha.spec_file, "--state", alpha.state, "--detach", "--no-wait")
    beta.up()
    alpha.wait_ready(timeout=STARTED)

    ours, theirs = alpha.member("alpha")["rpc"], beta.member("beta")["rpc"]
    assert rpc.block_hash(ours, 0) == rpc.block_hash(theirs, 0)
    with Writer(ours):
        head = alpha.wait_blocks(ours, 3, timeout=BLOCKS)
    wait_until(
        "beta to have alpha's block", lambda: rpc.block_hash(theirs, head) == rpc.block_hash(ours, head), timeout=BLOCKS
    )
