"""The notary's workload."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muniment.kernel.errors import InputError
from muniment.notary.settings import Settings
from muniment.proof.contract import CONTRACT_ADDRESS
from muniment.spec.model import Consortium
from muniment.targets.loopback import LoopbackAddresses
from muniment.topology.model import Role, Workload
from muniment.topology.services import notary
from tests.unit.identities import consortium, member

STATE = Path("/srv/state")


def workload(consensus: str = "qbft", peers: int = 3, **database: str) -> Workload:
    spec = Consortium.model_validate(
        {
            "name": "demo",
            "chain": {"id": 77, "consensus": consensus, "block_period_seconds": 2},
            "members": {
                "alpha": {"nodes": 3, "peers": peers, "database": database},
                "beta": {"nodes": 1, "peers": 1, "notary": False},
            },
        }
    )
    identities = consortium(
        member("alpha", first_key=1, nodes=3, peers=peers), member("beta", first_key=50, nodes=1, peers=1)
    )
    return notary(spec, "alpha", identities, LoopbackAddresses(spec, STATE))


def settings(made: Workload) -> Settings:
    return Settings.model_validate_json(next(file.text for file in made.files if file.path.name == "notary.json"))


def test_the_notary_understands_its_configuration() -> None:
    made = workload()
    found = settings(made)
    assert made.role is Role.NOTARY
    assert made.ready.url == "http://127.0.0.1:21003/ready"
    assert found.listen.port == made.port("api").listen.port == 21003
    assert found.rpc == "http://127.0.0.1:21000"
    assert found.contract == CONTRACT_ADDRESS
    assert (found.chain_id, found.network, found.member, found.confirmations) == (77, "demo", "alpha", 0)
    assert [peer.kubo for peer in found.peers] == [f"http://127.0.0.1:{port}" for port in (21201, 21211, 21221)]
    assert [peer.cluster for peer in found.peers] == [f"http://127.0.0.1:{port}" for port in (21203, 21213, 21223)]
    assert (found.replication.min, found.replication.max) == (2, 3)
    assert found.batch.window_seconds == 2.0
    assert str(found.data_dir) == "/srv/state/data/alpha-notary"


def test_secrets_are_files_of_their_own() -> None:
    made = workload()
    config = json.loads(made.files[0].text)
    secret_files = {str(file.path): file.text for file in made.files[1:]}
    assert secret_files == {
        "keystore.json": "@secret:alpha/account/keystore.json@",
        "passphrase": "@secret:alpha/account/passphrase@",
        "cluster-rest-password": "@secret:alpha/cluster-rest-password@",
    }
    assert config["keystore_file"] == "/srv/state/config/alpha-notary/keystore.json"
    assert "@secret" not in made.files[0].text


def test_database_of_the_member() -> None:
    found = settings(workload(url="postgresql://notary@db/alpha", password_file="/etc/db.password"))
    assert found.database.url == "postgresql://notary@db/alpha"
    assert str(found.database.password_file) == "/etc/db.password"


def test_clique_waits_for_more_than_half_of_the_signers() -> None:
    assert settings(workload("clique")).confirmations == 3


def test_too_few_peers_of_its_own() -> None:
    with pytest.raises(InputError, match=r"members\.alpha\.peers"):
        workload(peers=1)
