"""Party info byte for byte, and URLs as managers compare them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.privacy.errors import MalformedError
from muniment.privacy.party_info import PartyInfo, decode, encode, keys_of, normalise_url
from tests.unit.privacy_payloads import VECTOR, A, B

URL = VECTOR["party_info"]["url"]
INFO = PartyInfo(URL, ((A, URL),))

texts = st.text(st.characters(codec="utf-8"), max_size=40)
infos = st.builds(
    PartyInfo,
    texts,
    st.lists(st.tuples(st.binary(min_size=32, max_size=32), texts), max_size=4).map(tuple),
    st.lists(texts, max_size=4).map(tuple),
)


def test_the_vector_is_written_byte_for_byte_and_read() -> None:
    data = bytes.fromhex(VECTOR["party_info"]["bytes"])
    assert len(data) == 100
    assert encode(INFO) == data
    assert decode(data) == INFO


@given(infos)
def test_what_is_written_is_read_again(info: PartyInfo) -> None:
    assert decode(encode(info)) == info


@given(infos, st.data())
def test_every_part_and_every_addition_is_refused(info: PartyInfo, data: st.DataObject) -> None:
    whole = encode(info)
    for wrong in (whole[: data.draw(st.integers(0, len(whole) - 1))], whole + b"\x00"):
        with pytest.raises(MalformedError):
            decode(wrong)


@pytest.mark.parametrize("value", [-1, -(2**63), 2**63 - 1, 2**40, 5000])
def test_a_false_length_or_count_is_refused(value: int) -> None:
    whole = encode(PartyInfo(URL, ((A, URL), (B, URL)), (URL,)))
    for at in (0, 22, 30, 70):
        with pytest.raises(MalformedError):
            decode(whole[:at] + struct.pack(">q", value) + whole[at + 8 :])


@given(st.binary(max_size=300))
def test_rubbish_is_refused_or_read(data: bytes) -> None:
    try:
        found = decode(data)
    except MalformedError:
        return
    assert encode(found) == data


def test_text_is_utf_8_and_keys_have_32_bytes() -> None:
    with pytest.raises(MalformedError, match="no text"):
        decode(struct.pack(">q", 1) + b"\xff" + bytes(16))
    with pytest.raises(MalformedError, match="32 bytes, not 31"):
        decode(encode(PartyInfo(URL, ((A[:31], URL),))))


def test_only_the_announcers_own_keys_count() -> None:
    assert list(keys_of(PartyInfo(URL, ((A, URL), (B, "http://b:9001/"))), URL)) == [A]


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://a:9001", "http://a:9001/"),
        ("http://a:9001/", "http://a:9001/"),
        ("https://A.example", "https://A.example/"),
        ("http://a:80/", "http://a:80/"),
        ("http://a/path", "http://a/path"),
        ("http://[::1]:9001", "http://[::1]:9001/"),
    ],
)
def test_a_url_without_path_gets_a_slash_and_is_else_left_alone(url: str, normal: str) -> None:
    assert normalise_url(url) == normal
    assert normalise_url(normal) == normal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a:9001",
        "ftp://a/",
        "http://",
        "http:///x",
        "http://a:99999/",
        "http://a:x/",
        "http://a:0/",
        "http://[::1",
        "http://u:p@a/",
        "http://a/?q",
        "http://a/#f",
        "http://a b/",
        "http://a/\n",
        "file:///etc/passwd",
        "http://" + "a" * 3000,
    ],
)
def test_what_is_no_url_of_a_manager_is_refused(url: str) -> None:
    with pytest.raises(MalformedError, match="no URL of a privacy manager"):
        normalise_url(url)


@given(st.text(max_size=60))
def test_any_text_is_normalised_or_refused(text: str) -> None:
    for url in (text, f"http://{text}"):
        try:
            assert normalise_url(normalise_url(url)) == normalise_url(url)
        except MalformedError:
            continue
