"""The fuzz target finds nothing in many thousand inputs that are the same every time."""

from __future__ import annotations

from itertools import islice

import pytest

from muniment.privacy.cbor import decode_cbor
from muniment.privacy.envelope import decode
from muniment.privacy.errors import MalformedError
from tests.fuzz.privacy_codec import corpus, fuzz, inputs, run


def test_the_corpus_is_valid() -> None:
    """What is fuzzed begins as something that is read: six payloads in each format."""
    for read in (decode, decode_cbor):
        found = []
        for data in corpus():
            try:
                found.append(read(data))
            except MalformedError:
                continue
        assert len(found) == 6


@pytest.mark.parametrize("seed", range(4))
def test_nothing_but_the_stated_error_comes_of_any_input(seed: int) -> None:
    for data in islice(inputs(seed), 5000):
        fuzz(data)


def test_the_runner_ends_in_time() -> None:
    assert run(0.05, seed=9) > 0
