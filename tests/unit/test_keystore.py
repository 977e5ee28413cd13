from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from muniment.identity import keys, keystore

KEY = f"{7:064x}"
PASSPHRASE = keystore.new_passphrase()
WRITTEN = keystore.encrypt(KEY, PASSPHRASE)


def test_round_trip() -> None:
    assert keystore.decrypt(WRITTEN, PASSPHRASE) == KEY


def test_eth_account_reads_it() -> None:
    assert Account.decrypt(WRITTEN, PASSPHRASE).hex() == KEY


def test_it_reads_what_eth_account_writes() -> None:
    written = Account.encrypt(bytes.fromhex(KEY), PASSPHRASE, kdf="scrypt", iterations=4096)
    assert keystore.decrypt(json.dumps(written), PASSPHRASE) == KEY


def test_the_address_is_readable_and_the_key_is_not() -> None:
    assert json.loads(WRITTEN)["address"] == keys.address(KEY)[2:].lower()
    assert KEY not in WRITTEN
    assert PASSPHRASE not in WRITTEN


def test_passphrases_have_256_bits_and_differ() -> None:
    made = {keystore.new_passphrase() for _ in range(20)}
    assert len(made) == 20
    assert all(len(bytes.fromhex(passphrase)) == 32 for passphrase in made)


def test_wrong_passphrase() -> None:
    with pytest.raises(keystore.WrongPassphraseError):
        keystore.decrypt(WRITTEN, keystore.new_passphrase())


def test_address_of_another_key() -> None:
    document = json.loads(WRITTEN) | {"address": keys.address(f"{8:064x}")[2:]}
    with pytest.raises(ValueError, match="another key"):
        keystore.decrypt(json.dumps(document), PASSPHRASE)


@pytest.mark.parametrize(
    "change",
    [
        {"n": 2**30},
        {"n": 4097},
        {"r": 1000},
        {"salt": "00"},
        {"dklen": 64},
    ],
)
def test_unusable_parameters(change: dict[str, Any]) -> None:
    document = json.loads(WRITTEN)
    document["crypto"]["kdfparams"] |= change
    with pytest.raises(ValueError, match=r"keystore of version 3|scrypt parameters"):
        keystore.decrypt(json.dumps(document), PASSPHRASE)


@settings(max_examples=60)
@given(st.integers(0, len(WRITTEN) - 1), st.integers(1, 127))
def test_a_changed_character_is_refused_or_without_effect(at: int, mask: int) -> None:
    changed = WRITTEN[:at] + chr(ord(WRITTEN[at]) ^ mask) + WRITTEN[at + 1 :]
    try:
        assert keystore.decrypt(changed, PASSPHRASE) == KEY
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either outcome is right


@given(st.text(max_size=100))
def test_rubbish(text: str) -> None:
    with pytest.raises(ValueError, match="keystore"):
        keystore.decrypt(text, PASSPHRASE)
