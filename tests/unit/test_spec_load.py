from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from muniment.kernel.errors import InputError
from muniment.spec.load import load
from muniment.spec.model import Consensus, Consortium

ROOT = Path(__file__).resolve().parents[2]


def refused(tmp_path: Path, text: str | bytes) -> list[str]:
    """The lines of the refusal, with the file's name taken off: `LINE: field: …`."""
    file = tmp_path / "consortium.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        load(file)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{file}:") for line in lines)
    return [line.removeprefix(f"{file}:").strip() for line in lines]


def test_the_demo() -> None:
    spec = load(ROOT / "examples" / "demo.yaml")
    assert spec.name == "demo"
    assert spec.chain.consensus is Consensus.QBFT
    assert spec.chain.id != 1337
    assert (spec.chain.block_period_seconds, spec.chain.empty_block_period_seconds) == (1, 1)
    assert spec.chain.request_timeout_seconds == 1
    alpha, beta = spec.members["alpha"], spec.members["beta"]
    assert (alpha.nodes, alpha.peers, alpha.notary) == (3, 3, True)
    assert (beta.nodes, beta.peers, beta.notary) == (1, 0, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("members:\n  alpha:\n    nodez: 3\n", "3: members.alpha.nodez: there is no such field; did you mean nodes?"),
        ("members: {alpha: {}}\nchian: {}\n", "2: chian: there is no such field; did you mean chain?"),
        (
            "members: {alpha: {}}\nipfs:\n  xyzzy: 1\n",
            "3: ipfs.xyzzy: there is no such field; the fields here are replication, storage_max",
        ),
        (
            "members:\n  alpha:\n    database:\n      ulr: sqlite\n",
            "4: members.alpha.database.ulr: there is no such field; did you mean url?",
        ),
        ("members:\n  alpha:\n    nodes: many\n", "3: members.alpha.nodes: must be a whole number, not 'many'"),
        ("members:\n  alpha:\n    nodes: '3'\n", "3: members.alpha.nodes: must be a whole number, not '3'"),
        ("members:\n  alpha:\n    nodes: yes\n", "3: members.alpha.nodes: must be a whole number, not true"),
        ("members:\n  alpha:\n    nodes: 2.5\n", "3: members.alpha.nodes: must be a whole number, not 2.5"),
        ("members:\n  alpha:\n    nodes: 0\n", "3: members.alpha.nodes: must be at least 1, not 0"),
        ("members:\n  alpha:\n    nodes: 17\n", "3: members.alpha.nodes: must be at most 16, not 17"),
        ("members:\n  alpha:\n    notary: 1\n", "3: members.alpha.notary: must be true or false, not 1"),
        (
            "members:\n  alpha:\n",
            "2: members.alpha: must hold fields, not nothing; write {} to take all defaults",
        ),
        ("members: [alpha]\n", "1: members: must hold names and their fields, not a list"),
        ("members: {}\n", "1: members: needs at least 1, and has 0"),
        ("name: demo\n", "1: members: is missing: it must be given"),
        ("- alpha\n", "1: the document: must hold fields, not a list; write {} to take all defaults"),
        (
            "members:\n  Alpha: {}\n",
            "2: members.Alpha: 'Alpha' does not fit: a name is a small letter and then at most 19 small letters and"
            " digits, for example alpha",
        ),
        (
            "members: {alpha: {}}\nchain: {consensus: pow}\n",
            "2: chain.consensus: must be 'qbft', 'ibft', 'raft' or 'clique', not 'pow'",
        ),
        ("members: {alpha: {}}\nversion: 2\n", "2: version: must be 1, not 2"),
        ("members: {alpha: {}}\nname: 7\n", "2: name: must be text, not 7: put it in quotes if it is meant"),
        (
            "members: {alpha: {}}\nipfs:\n  storage_max: lots\n",
            "3: ipfs.storage_max: 'lots' does not fit: write a whole number and MB, GB or TB, for example 100GB",
        ),
        (
            "members: {alpha: {}}\nchain:\n  block_period_seconds: 5\n  empty_block_period_seconds: 2\n",
            "4: chain.empty_block_period_seconds: empty_block_period_seconds (2) must be at least"
            " block_period_seconds (5)",
        ),
        (
            "members: {alpha: {}}\nipfs:\n  replication:\n    min: 3\n    max: 2\n",
            "5: ipfs.replication.max: replication.max (2) must be at least replication.min (3)",
        ),
        ("members:\n  alpha:\n    identity: a.yaml\n", "1: members: at least one member must be ours, that is without"),
        (
            "members:\n  alpha:\n    database:\n      url: postgres://u:hunter2@host/name\n",
            "4: members.alpha.database.url: 'postgres://...@host/name' does not fit: write sqlite, or postgresql://",
        ),
        (
            "members:\n  alpha:\n    database:\n      password: hunter2\n",
            "4: members.alpha.database.password: there is no such field; did you mean password_file?",
        ),
        (
            "members:\n  alpha: {}\n  beta:\n    identity: b.yaml\n    peers: 1\n",
            "5: members.beta.peers: peers cannot be given with identity: the public file says it",
        ),
        (
            "members:\n  alpha: {}\n  consortium: {}\n",
            "3: members.consortium: cannot be a member's name",
        ),
        (
            "chain: {consensus: raft}\nmembers:\n  alpha:\n    validators: 2\n",
            "4: members.alpha.validators: cannot be given with consensus raft",
        ),
        ("members: {alpha: {}}\nports:\n  base: 40000\n", "3: ports.base: must be at most 30000, not 40000"),
        ("members:\n  alpha: {}\n  alpha: {}\n", "3: members.alpha: given twice, first in line 2: remove one"),
        ("members: {alpha: {}}\nname: a\nname: b\n", "3: name: given twice, first in line 2: remove one"),
        ("members:\n  3: {}\n", "2: members.3: a field's name is text: put it in quotes"),
        ("members:\n  on: {}\n", "2: members.on: a field's name is text: put it in quotes"),
        ("members:\n  alpha: &a {}\n  beta: *a\n", "3: references (*name) are not supported: write the value out"),
        ("members: {alpha: {}}\nname: !!python/name:os.system\n", "2: name: the tag tag:yaml.org,2002:python/name:os"),
        ("members: {alpha: {}}\n---\nname: b\n", "2: a second document begins here"),
        ("members: [", "1: this is not YAML: "),
        ("members:\n\talpha: {}\n", "2: this is not YAML: "),
        ("[" * 50 + "]" * 50, "1: fields are nested more than 20 deep: check brackets"),
        ("members: {alpha: {nodes: " + "9" * 5000 + "}}", "1: members.alpha.nodes: '99999"),
        ("members: {alpha: {nodes: .nan}}", "1: members.alpha.nodes: '.nan' cannot be read"),
        ("members: {alpha: {nodes: 99999999999999999999999999}}", "1: members.alpha.nodes: must be at most 16"),
        ("members: {alpha: {nodes: 2024-01-01}}", "1: members.alpha.nodes: must be a whole number, not '2024-01-01'"),
    ],
)
def test_one_error(tmp_path: Path, text: str, said: str) -> None:
    (line,) = refused(tmp_path, text)
    assert line.startswith(said), line


def test_several_errors_are_all_told_in_the_order_of_lines(tmp_path: Path) -> None:
    text = "name: Demo\nchain:\n  id: 0\nmembers:\n  alpha:\n    nodes: x\n    peerz: 1\n"
    said = refused(tmp_path, text)
    assert [line.split(": ")[:2] for line in said] == [
        ["1", "name"],
        ["3", "chain.id"],
        ["6", "members.alpha.nodes"],
        ["7", "members.alpha.peerz"],
    ]


def test_names_with_line_ends_stay_on_one_line(tmp_path: Path) -> None:
    assert len(refused(tmp_path, 'members: {alpha: {}}\n"a\\nb": 1\n"c\\nd": 1\n"c\\nd": 1\n')) == 1
    assert len(refused(tmp_path, 'members: {alpha: {}}\n"a\\nb": 1\n')) == 1


def test_not_utf8(tmp_path: Path) -> None:
    (line,) = refused(tmp_path, b"name: demo\n# caf\xe9\n")
    assert line.startswith("2: this is not UTF-8 text")


@pytest.mark.parametrize("text", [b"\x00\x01", b"members: \x07", b"\xef\xbf\xbe"])
def test_control_characters(tmp_path: Path, text: bytes) -> None:
    (line,) = refused(tmp_path, text)
    assert line.startswith("1: this is not YAML")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "null\n"])
def test_empty(tmp_path: Path, text: str) -> None:
    (line,) = refused(tmp_path, text)
    assert "the file is empty" in line
    assert "muniment init" in line


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.yaml does not exist: .*muniment init"):
        load(tmp_path / "nowhere.yaml")


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"directory|regular file"):
        load(tmp_path)


def test_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        load(tmp_path / "pipe")


def test_too_large(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(InputError, match="larger than 1 MiB"):
        load(file)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_rubbish_is_only_ever_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "rubbish.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError):
        load(file)


names = st.sampled_from(["members", "chain", "ipfs", "ports", "name", "id", "alpha", "nodes", "peers", "identity"])
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(names, json_like, max_size=5))
def test_wrong_shapes_are_only_ever_input_errors(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    file = tmp_path_factory.getbasetemp() / "shape.yaml"
    file.write_text(yaml.safe_dump(value, allow_unicode=True), "utf-8")
    try:
        load(file)
    except InputError as error:
        assert str(error).startswith(str(file))  # noqa: PT017 - a value that happens to be right is fine too


members = st.dictionaries(
    st.from_regex(r"[b-m][a-m0-9]{0,19}", fullmatch=True),
    st.fixed_dictionaries({}, optional={"nodes": st.integers(1, 16), "peers": st.integers(2, 16)}),
    min_size=1,
    max_size=5,
)


@given(members, st.sampled_from(["qbft", "ibft", "raft", "clique"]), st.integers(1, 2**53 - 1))
def test_what_is_right_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, found: dict[str, dict[str, int]], consensus: str, chain: int
) -> None:
    value = {"members": found, "chain": {"consensus": consensus, "id": chain}}
    file = tmp_path_factory.getbasetemp() / "right.yaml"
    file.write_text(yaml.safe_dump(value))
    assert load(file) == Consortium.model_validate(value)
