"""Privacy keys and certificates in the identity store: made once, renewed when due, refused when damaged or lost."""

from __future__ import annotations

import base64
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from muniment.identity import certificates, export, renewing
from muniment.identity.certificates import Authority
from muniment.identity.model import Endpoint, privacy_key_path, tls_authority_paths, tls_certificate_path
from muniment.identity.privacy_keys import privacy_key_file, public_privacy_key
from muniment.identity.store import IdentityStore
from muniment.kernel.errors import InputError, IntegrityError
from muniment.spec.model import Consortium

CERTIFICATE = tls_certificate_path("alpha")
# Computed by PyNaCl from the bytes 01 to 20 (hexadecimal).
SECRET, PUBLIC = bytes(range(1, 33)), "B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw="


def specification(privacy: dict[str, Any] | None = None, **alpha: Any) -> Consortium:
    members = {"alpha": {"nodes": 1, "peers": 0, "notary": False, **alpha}}
    return Consortium.model_validate({"privacy": privacy or {}, "members": members})


SPEC = specification()
WITHOUT = specification({"enabled": False})


@pytest.fixture
def store(tmp_path: Path) -> IdentityStore:
    return IdentityStore(tmp_path / "identity")


def keys(store: IdentityStore, spec: Consortium = SPEC) -> tuple[str, ...]:
    privacy = store.ensure(spec, Path()).of("alpha").privacy
    assert privacy is not None
    return privacy.keys


def put(store: IdentityStore, path: str, text: str) -> None:
    """Write a secret file."""
    (store.root / path).write_text(text)


def put_certificate(store: IdentityStore, now: datetime) -> None:
    """One that was made at another time."""
    whole = Authority(*(store.secret(path) + "\n" for path in tls_authority_paths("alpha")))
    names = renewing.names("alpha", SPEC.members["alpha"])
    put(store, CERTIFICATE, certificates.new_certificate(whole, "alpha", names, now))


def test_a_public_key_is_that_of_its_secret() -> None:
    assert public_privacy_key(privacy_key_file(SECRET)) == PUBLIC


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "nothing", '{"type": "unlocked", "data": {"bytes": "AAAA"}}',
        '{"type": "argon2sbox", "data": {}}', '{"type": "unlocked", "data": {"bytes": 3}}',
        '{"type": "unlocked", "data": {"bytes": "%%%"}}', '{"type": "unlocked", "data": "x"}',
    ],
)  # fmt: skip
def test_what_is_no_key_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"key|json|expected|EOF"):
        public_privacy_key(text)


def test_keys_are_made_once_in_the_format_of_tessera(store: IdentityStore) -> None:
    first = keys(store)
    assert keys(store) == first
    path = store.root / privacy_key_path("alpha", 1)
    assert path.stat().st_mode & 0o777 == 0o600
    document = json.loads(path.read_text())
    assert document["type"] == "unlocked"
    assert len(base64.b64decode(document["data"]["bytes"])) == 32


def test_more_keys_are_added_behind_the_first(store: IdentityStore) -> None:
    first = keys(store)
    more = keys(store, specification(privacy_keys=3))
    assert more[:1] == first
    assert len(set(more)) == 3
    assert keys(store) == first


def test_a_store_of_a_version_without_private_transactions_gains_keys(store: IdentityStore) -> None:
    assert store.ensure(WITHOUT, Path()).of("alpha").privacy is None
    assert not (store.root / "alpha" / "privacy").exists()
    assert len(keys(store)) == 1


def test_no_key_is_made_in_the_place_of_one_that_a_chain_was_started_with(store: IdentityStore) -> None:
    store.genesis(SPEC, store.ensure(SPEC, Path()))
    shutil.rmtree(store.root / "alpha" / "privacy")
    with pytest.raises(
        IntegrityError, match=r"secret\.key is not there: restore it from your backup.*Nothing was made"
    ):
        store.ensure(SPEC, Path())
    assert not (store.root / "alpha" / "privacy").exists()


def test_a_chain_without_private_transactions_asks_for_none(store: IdentityStore) -> None:
    store.genesis(WITHOUT, store.ensure(WITHOUT, Path()))
    with pytest.raises(IntegrityError, match=r"set privacy\.enabled to false"):
        store.genesis(SPEC, store.ensure(SPEC, Path()))


def test_a_damaged_key_is_named_and_not_shown(store: IdentityStore) -> None:
    keys(store)
    secret = store.secret(privacy_key_path("alpha", 1))
    put(store, privacy_key_path("alpha", 1), secret.replace("unlocked", "locked"))
    with pytest.raises(IntegrityError, match=r"alpha-key-1/secret\.key is damaged") as caught:
        store.ensure(SPEC, Path())
    assert json.loads(secret)["data"]["bytes"] not in str(caught.value)


def test_a_privacy_key_belongs_to_one_member(store: IdentityStore) -> None:
    both = Consortium.model_validate(
        {"members": {name: {"nodes": 1, "peers": 0, "notary": False} for name in ("alpha", "beta")}}
    )
    store.ensure(both, Path())
    put(store, privacy_key_path("beta", 1), (store.root / privacy_key_path("alpha", 1)).read_text())
    with pytest.raises(IntegrityError, match=r"privacy key .* is used twice, in .*alpha-key-1.* and in .*beta-key-1"):
        store.ensure(both, Path())


def test_a_foreign_member_with_our_key_is_refused(store: IdentityStore, tmp_path: Path) -> None:
    class Somewhere:
        def reach(self, workload: str, port: str) -> Endpoint:
            return Endpoint(host=f"{workload}-{port}.example", port=1)

    ours = store.ensure(SPEC, Path()).of("alpha")
    beta = IdentityStore(tmp_path / "other")
    spec = Consortium.model_validate({"members": {"beta": {"nodes": 1, "peers": 0, "notary": False}}})
    theirs = export.export(beta.ensure(spec, Path()).of("beta"), Somewhere(), consensus=spec.chain.consensus)
    copied = theirs.model_copy(update={"privacy": theirs.privacy and theirs.privacy.model_copy(
        update={"keys": ours.privacy and ours.privacy.keys})})  # fmt: skip
    (tmp_path / "beta.public.yaml").write_text(export.dump(copied))
    joined = Consortium.model_validate(
        {
            "members": {
                "alpha": {"nodes": 1, "peers": 0, "notary": False},
                "beta": {"identity": str(tmp_path / "beta.public.yaml")},
            }
        }
    )
    with pytest.raises(IntegrityError, match=r"privacy key .* is used twice.*beta\.public\.yaml"):
        store.ensure(joined, Path())


def test_a_certificate_stands_for_the_workloads_and_the_names_given(store: IdentityStore) -> None:
    keys(store, specification(privacy_hosts=["pm.alpha.example", "0:0::1"]))
    names = renewing.facts(store.root, "alpha").names
    assert names == {
        *("localhost", "127.0.0.1", "::1", "pm.alpha.example"),
        *("alpha-gateway", "alpha-1", "alpha-privacy-1"),
    }


def test_a_certificate_is_kept_until_it_is_due(store: IdentityStore) -> None:
    keys(store)
    put_certificate(store, datetime.now(UTC) - timedelta(days=300))
    before = store.secret(CERTIFICATE)
    keys(store)
    assert store.secret(CERTIFICATE) == before


@pytest.mark.parametrize("days", [340, 400])
def test_a_certificate_that_ends_soon_is_made_anew(store: IdentityStore, days: int) -> None:
    keys(store)
    put_certificate(store, datetime.now(UTC) - timedelta(days=days))
    store.load(SPEC, Path())
    assert renewing.is_due(store.root, "alpha", SPEC.members["alpha"])
    keys(store)
    assert renewing.facts(store.root, "alpha").ends > datetime.now(UTC) + timedelta(days=360)


def test_a_certificate_that_lacks_a_name_is_made_anew(store: IdentityStore) -> None:
    keys(store)
    keys(store, specification(privacy_hosts=["pm.alpha.example"]))
    assert "pm.alpha.example" in renewing.facts(store.root, "alpha").names


def test_renewing_on_demand(store: IdentityStore) -> None:
    with pytest.raises(InputError, match="muniment up"):
        store.renew(SPEC, Path())
    keys(store)
    before, authority = store.secret(CERTIFICATE), store.secret(tls_authority_paths("alpha")[0])
    ends = store.renew(SPEC, Path())
    assert ends["alpha"] > datetime.now(UTC) + timedelta(days=360)
    assert store.secret(CERTIFICATE) != before
    assert store.secret(tls_authority_paths("alpha")[0]) == authority
    assert (store.root / CERTIFICATE).stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match=r"privacy\.enabled is false"):
        store.renew(WITHOUT, Path())


def test_the_authoritys_secret_key_may_be_kept_elsewhere(store: IdentityStore) -> None:
    keys(store)
    (store.root / tls_authority_paths("alpha")[1]).unlink()
    put_before = store.secret(CERTIFICATE)
    keys(store, specification(privacy_hosts=["pm.alpha.example"]))
    assert store.secret(CERTIFICATE) == put_before
    with pytest.raises(IntegrityError, match=r"authority\.key is missing"):
        store.renew(SPEC, Path())


def test_a_damaged_certificate_says_how_to_get_another(store: IdentityStore) -> None:
    keys(store)
    put(store, CERTIFICATE, "-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(IntegrityError, match="muniment privacy renew"):
        store.ensure(SPEC, Path())
