"""The managers' workloads: what stands in their settings, who they know, and what TLS changes."""

from __future__ import annotations

import base64
import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from muniment.identity.model import Endpoint, Identities
from muniment.spec.model import Consortium
from muniment.targets.loopback import LoopbackAddresses
from muniment.topology.model import Role, Workload
from muniment.topology.privacy import manager_name, managers
from tests.unit import identities as made

STATE = Path("/srv/state")
ALPHA = made.member("alpha", first_key=1, nodes=2, privacy_keys=2)
BETA = made.member("beta", first_key=50)
FAR = Endpoint(host="pm.gamma.example", port=9001)


def specification(privacy: dict[str, Any] | None = None, **alpha: Any) -> Consortium:
    members = {
        "beta": {"nodes": 1, "peers": 0, "notary": False},
        "alpha": {"nodes": 2, "peers": 0, "notary": False, "privacy_keys": 2, **alpha},
    }
    return Consortium.model_validate({"privacy": privacy or {}, "members": members})


def derived(spec: Consortium, identities: Identities | None = None) -> dict[str, Workload]:
    found = managers(spec, identities or made.consortium(BETA, ALPHA), LoopbackAddresses(spec, STATE))
    return {workload.name: workload for workload in found}


def settings(workload: Workload) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text(workload, "privacy.json"))
    return found


def text(workload: Workload, path: str) -> str:
    (found,) = (file.text for file in workload.files if str(file.path) == path)
    return found


def test_one_manager_beside_each_node() -> None:
    found = derived(specification())
    assert list(found) == ["beta-privacy-1", "alpha-privacy-1", "alpha-privacy-2"]
    assert {workload.role for workload in found.values()} == {Role.PRIVACY}
    assert manager_name("alpha-2") == "alpha-privacy-2"
    alpha = found["alpha-privacy-2"]
    assert alpha.arguments == ("privacy", "serve", "--config", "/srv/state/config/alpha-privacy-2/privacy.json")
    assert alpha.ready.url == "http://127.0.0.1:21427/ready"
    assert {port.name: port.url for port in alpha.ports} == {
        "q2t": "http://127.0.0.1:21425",
        "p2p": "http://127.0.0.1:21426",
        "status": "http://127.0.0.1:21427",
        "metrics": "http://127.0.0.1:21427/metrics",
    }


def test_all_managers_of_a_member_have_its_keys_its_database_and_its_one_address() -> None:
    first, second = (settings(derived(specification())[f"alpha-privacy-{number}"]) for number in (1, 2))
    assert first["advertised_url"] == second["advertised_url"] == "http://127.0.0.1:21405/"
    file = "/srv/state/data/alpha-database/privacy.sqlite"
    assert first["database"] == second["database"] == {"url": "sqlite", "file": file, "password_file": None}
    assert first["data_dir"] != second["data_dir"]
    assert [key["secret_key_file"] for key in first["keys"]] == [
        f"/srv/state/config/alpha-privacy-1/keys/{number}.key" for number in (1, 2)
    ]
    workload = derived(specification())["alpha-privacy-1"]
    assert text(workload, "keys/2.key") == "@secret:alpha/privacy/keys/alpha-key-2/secret.key@"
    assert workload.shared == (PurePosixPath("/srv/state/data/alpha-database"),)


def test_a_database_server_needs_no_directory() -> None:
    url = "postgresql://muniment@h1:5432,h2:5432/alpha"
    spec = specification(database={"url": url, "password_file": "/srv/password"})
    workload = derived(spec)["alpha-privacy-1"]
    assert settings(workload)["database"] == {"url": url, "file": None, "password_file": "/srv/password"}
    assert workload.shared == ()


def test_managers_know_those_of_the_other_members(tmp_path: Path) -> None:
    gamma, delta = made.member("gamma", first_key=80), made.member("delta", first_key=90, privacy_keys=0)
    assert gamma.privacy is not None
    far = gamma.model_copy(update={"privacy": gamma.privacy.model_copy(update={"endpoint": FAR})})
    identities = Identities(members=(far, BETA, delta, ALPHA), own=frozenset({"alpha", "beta"}))
    spec = specification().model_dump(exclude_unset=True)
    spec["members"] |= {name: {"identity": str(tmp_path / name)} for name in ("gamma", "delta")}
    found = derived(Consortium.model_validate(spec), identities)
    assert list(found) == ["beta-privacy-1", "alpha-privacy-1", "alpha-privacy-2"]
    assert settings(found["alpha-privacy-1"])["peers"] == ["http://127.0.0.1:21005/", "http://pm.gamma.example:9001/"]
    assert settings(found["beta-privacy-1"])["peers"] == ["http://127.0.0.1:21405/", "http://pm.gamma.example:9001/"]


def test_discovery_can_be_switched_off() -> None:
    assert settings(derived(specification())["alpha-privacy-1"])["discovery"] is True
    assert settings(derived(specification({"discovery": False}))["alpha-privacy-1"])["discovery"] is False


def test_no_managers_without_private_transactions() -> None:
    assert derived(specification({"enabled": False})) == {}


def test_every_key_has_a_private_state_of_its_own_if_asked_for() -> None:
    assert settings(derived(specification())["alpha-privacy-1"])["resident_groups"] == []
    groups = settings(derived(specification({"multiple_states": True}))["alpha-privacy-1"])["resident_groups"]
    # The first is that of requests which name no private state.
    assert [base64.b64decode(group["id"]) for group in groups] == [b"private", b"alpha-2"]
    assert ALPHA.privacy is not None
    assert [group["members"] for group in groups] == [[key] for key in ALPHA.privacy.keys]
    assert all(group["name"] and group["description"] for group in groups)


def test_tls_off_is_said_to_the_manager() -> None:
    assert settings(derived(specification())["alpha-privacy-1"])["tls"] == {"q2t": None, "p2p": None}


def test_tls_trusts_the_own_member_on_the_nodes_side_and_all_members_on_the_other() -> None:
    assert BETA.privacy is not None
    other = made.AUTHORITY + "beta's\n"
    beta = BETA.model_copy(update={"privacy": BETA.privacy.model_copy(update={"authority": other})})
    workload = derived(specification({"tls": "strict"}), made.consortium(beta, ALPHA))["alpha-privacy-1"]
    found = settings(workload)
    config = "/srv/state/config/alpha-privacy-1/tls"
    own = {"certificate_file": f"{config}/certificate.pem", "key_file": f"{config}/certificate.pem"}
    assert found["tls"] == {
        "q2t": {**own, "authorities_file": f"{config}/own-authority.pem"},
        "p2p": {**own, "authorities_file": f"{config}/authorities.pem"},
    }
    assert text(workload, "tls/own-authority.pem") == made.AUTHORITY
    assert text(workload, "tls/authorities.pem") == made.AUTHORITY + other
    assert text(workload, "tls/certificate.pem") == "@secret:alpha/privacy/tls/certificate.pem@"
    assert [str(file.path) for file in workload.files if file.reloaded] == ["tls/certificate.pem"]
    assert found["advertised_url"] == "https://127.0.0.1:21405/"
    assert found["peers"] == ["https://127.0.0.1:21005/"]
    assert workload.port("q2t").url.startswith("https://")
    assert workload.ready.url.startswith("http://")


@pytest.mark.parametrize("tls", ["off", "strict"])
def test_no_secret_stands_in_the_settings(tls: str) -> None:
    for workload in derived(specification({"tls": tls})).values():
        assert "@secret" not in text(workload, "privacy.json")
