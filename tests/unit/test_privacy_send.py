"""`muniment privacy send`: what it reads, what it sends, what it prints, and how it refuses."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from eth_account import Account

from muniment.cli.privacy_send import send
from muniment.identity.store import IdentityStore
from muniment.kernel.errors import InputError, PermanentError
from muniment.spec.model import Consortium
from tests.unit.private_node import PrivateNode

PASSPHRASE = "a secret of the test"
KEY = b64encode(bytes(range(32))).decode()
CONTRACT = "0x" + "35" * 20


@pytest.fixture
def account(tmp_path: Path) -> list[str]:
    """The options that name an account."""
    keystore, passphrase = tmp_path / "key.json", tmp_path / "passphrase"
    document = Account.encrypt(b"\x46" * 32, PASSPHRASE, kdf="pbkdf2", iterations=2)
    for path, content in ((keystore, json.dumps(document)), (passphrase, PASSPHRASE)):
        path.touch(mode=0o600)
        path.write_text(content)
    return ["--keystore", str(keystore), "--passphrase-file", str(passphrase)]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory of a started consortium of alpha and beta."""
    path = tmp_path / "state"
    path.mkdir()
    members = {name: {"nodes": 1, "peers": 0, "notary": False} for name in ("alpha", "beta")}
    specification = {"members": members}
    (path / "specification.yaml").write_text(yaml.safe_dump(specification))
    IdentityStore(path / "identity").ensure(Consortium.model_validate(specification), path)
    return path


def started(state: Path, url: str) -> None:
    """Say where the gateways of the members are."""
    members = {"alpha": {"rpc": url}, "beta": {"rpc": "http://127.0.0.1:1"}}
    (state / "endpoints.json").write_text(json.dumps({"members": members}))


def key_of(state: Path, member: str) -> str:
    spec = Consortium.model_validate(yaml.safe_load((state / "specification.yaml").read_text()))
    privacy = IdentityStore(state / "identity").load(spec, state).of(member).privacy
    assert privacy is not None
    return privacy.keys[0]


def run(*arguments: str | Path, account: Sequence[str]) -> Result:
    """The command, without a state directory unless one is given; raises what it raises."""
    return CliRunner().invoke(send, [*account, *map(str, arguments)], catch_exceptions=False)


def sent(*arguments: str | Path, account: Sequence[str]) -> tuple[Result, PrivateNode]:
    """What a node got."""
    node = PrivateNode(mines=True)
    with node.served() as url:
        return run(*arguments, "--rpc", url, account=account), node


def test_a_contract_is_created_and_named(account: list[str]) -> None:
    done, node = sent("--data", "0x6001", "--private-for", KEY, account=account)
    assert (done.exit_code, list(node.stored.values())) == (0, [b"\x60\x01"])
    (transaction,) = node.mined
    assert done.stdout == f"{transaction} is in block 7, contract 0x{'c0' * 20}\n"


def test_json_is_one_document(account: list[str]) -> None:
    done, node = sent("--data", "01", "--to", CONTRACT, "--private-for", KEY, "--json", account=account)
    (transaction,) = node.mined
    document = json.loads(done.stdout)
    assert document["transaction"] == document["receipt"]["transactionHash"] == transaction


def test_every_option_arrives(account: list[str]) -> None:
    options = ["--private-for", KEY, "--private-from", KEY, "--flag", "2", "--mandatory-for", KEY]
    done, node = sent("--data", "0x01", "--to", CONTRACT, *options, account=account)
    (taken,) = node.mined.values()
    assert taken.to == bytes.fromhex(CONTRACT[2:])
    assert taken.parties == {"privateFor": [KEY], "privateFrom": KEY, "privacyFlag": 2, "mandatoryFor": [KEY]}
    assert "contract" not in done.stdout


def test_the_member_s_gateway_is_used_and_names_are_members(account: list[str], state: Path) -> None:
    node = PrivateNode(mines=True)
    with node.served() as url:
        started(state, url)
        options = ["--private-for", "beta", "--private-for", KEY, "--flag", "2", "--mandatory-for", "beta"]
        run("--state", state, "--data", "0x01", *options, account=account)
        with pytest.raises(InputError, match=r"no member gamma in .*: there are alpha, beta"):
            run("--state", state, "--member", "gamma", "--data", "0x01", "--private-for", KEY, account=account)
    (taken,) = node.mined.values()
    beta = key_of(state, "beta")
    assert (taken.parties["privateFor"], taken.parties["mandatoryFor"]) == ([beta, KEY], [beta])


@pytest.mark.parametrize(
    ("content", "meant"),
    [
        (b"0x6001", b"\x60\x01"),
        (b"6001\n", b"\x60\x01"),  # as solc writes it
        (b"\x60\x01", b"\x60\x01"),
        (b"0x600", b"0x600"),
    ],
)
def test_files_hold_hexadecimal_or_bytes(account: list[str], tmp_path: Path, content: bytes, meant: bytes) -> None:
    (tmp_path / "contract.bin").write_bytes(content)
    _, node = sent("--data", f"@{tmp_path / 'contract.bin'}", "--private-for", KEY, account=account)
    assert list(node.stored.values()) == [meant]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "0xzz", "--private-for", KEY], "--data is no hexadecimal"),
        (["--data", "0x", "--private-for", KEY], "--data is empty"),
        (["--data", "@/absent", "--private-for", KEY], "/absent cannot be read"),
        (["--data", "@/dev/null", "--private-for", KEY], "/dev/null is empty"),
        (["--data", "0x01", "--private-for", "Beta"], "'Beta' is no privacy key"),
        (["--data", "0x01", "--private-for", KEY, "--private-from", "me"], "'me' is no privacy key"),
        (["--data", "0x01", "--private-for", KEY, "--to", "0x12"], "--to 0x12: "),
        (["--data", "0x01", "--private-for", KEY, "--to", "0x" + "g" * 40], "--to 0xg"),
        (["--data", "0x01", "--private-for", "beta"], "holds no consortium that was started: give privacy keys"),
        (["--data", "0x01", "--private-for", KEY, "--flag", "3"], "cannot create a contract with privacy flag 3"),
    ],
)
def test_wrong_input_is_named_and_nothing_is_sent(
    account: list[str], tmp_path: Path, options: list[str], said: str
) -> None:
    node = PrivateNode()
    with node.served() as url, pytest.raises(InputError) as refused:
        run("--state", tmp_path / "absent", "--rpc", url, *options, account=account)
    assert said in str(refused.value)
    assert node.asked == []


def test_a_member_that_is_unknown_is_named(account: list[str], state: Path) -> None:
    with pytest.raises(InputError, match=r"'gamma' is no privacy key: .* the name of a member"):
        run("--state", state, "--data", "0x01", "--private-for", "gamma", account=account)


def test_secrets_are_never_shown(account: list[str], tmp_path: Path) -> None:
    done, _ = sent("--data", "0x01", "--private-for", KEY, account=account)
    assert PASSPHRASE not in done.output
    (tmp_path / "passphrase").write_text("another one")
    with pytest.raises(InputError) as refused:
        run("--rpc", "http://127.0.0.1:1", "--data", "0x01", "--private-for", KEY, account=account)
    assert "another one" not in str(refused.value)


def test_a_transaction_that_fails_is_an_error(account: list[str]) -> None:
    node = PrivateNode(mines=True, status="0x0")
    with node.served() as url, pytest.raises(PermanentError, match="failed"):
        run("--rpc", url, "--data", "0x01", "--private-for", KEY, account=account)
