"""A batch as a CAR."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from muniment.kernel.errors import IntegrityError
from muniment.notary import directory
from muniment.notary.car import car
from muniment.proof.unixfs import FileSummary, cid_binary, summary_of
from tests.support.dagpb import file_content, files_below, read_car

MIB = 1 << 20
LARGE = b"0123456789abcdef" * (2 * MIB // 16) + b"the end"
CONTENTS = {"empty": b"", "small": b"content", "chunk": bytes(MIB), "large": LARGE, "数据": b"name in Chinese"}


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def whole_car(contents: dict[str, bytes], size: int = 65_521) -> tuple[directory.Directory, bytes]:
    summaries = {name: summary_of(content) for name, content in contents.items()}
    built = directory.build(summaries.items())
    files = ((summaries[name], pieces(content, size)) for name, content in contents.items())
    return built, b"".join(car(built.root, built.nodes, files))


def generate(summary: FileSummary, content: bytes) -> None:
    built = directory.build([("file", summary)])
    for _ in car(built.root, built.nodes, [(summary, pieces(content, 65_521))]):
        pass


@pytest.mark.parametrize("size", [65_521, MIB, 3 * MIB])
def test_every_file_comes_back_from_the_car(size: int) -> None:
    built, data = whole_car(CONTENTS, size)
    _, blocks = read_car(data)
    found = {path: file_content(cid, blocks) for path, cid in files_below(cid_binary(built.root), blocks)}
    assert found == {built.path_of(name): content for name, content in CONTENTS.items()}


def test_the_header_names_the_root() -> None:
    built, data = whole_car(CONTENTS)
    header, blocks = read_car(data)
    assert header == {"roots": [cid_binary(built.root)], "version": 1}
    assert cid_binary(built.root) in blocks


def test_files_are_read_one_after_the_other_and_never_whole() -> None:
    read: list[int] = []

    def content(number: int) -> Iterator[bytes]:
        for _ in range(64):
            read.append(number)
            yield bytes(MIB)

    summary = summary_of(bytes(64 * MIB))
    built = directory.build([("a", summary), ("b", summary)])
    parts = car(built.root, built.nodes, [(summary, content(0)), (summary, content(1))])
    sizes = [len(next(parts)) for _ in range(10)]
    assert max(sizes) < 2 * MIB
    assert set(read) == {0}
    assert len(read) <= 11


@pytest.mark.parametrize(
    "changed",
    [LARGE[:-1], LARGE + b"!", b"", LARGE[:MIB], b"X" + LARGE[1:]],
    ids=["short", "long", "empty", "cut", "bit"],
)
def test_a_large_file_that_changed_is_refused(changed: bytes) -> None:
    with pytest.raises(IntegrityError, match="was changed after it was accepted"):
        generate(summary_of(LARGE), changed)


@pytest.mark.parametrize("changed", [b"conten", b"content!", b"", b"Content", LARGE])
def test_a_small_file_that_changed_is_refused(changed: bytes) -> None:
    with pytest.raises(IntegrityError, match="was changed after it was accepted"):
        generate(summary_of(b"content"), changed)


def test_an_empty_file_that_grew_is_refused() -> None:
    with pytest.raises(IntegrityError, match="longer"):
        generate(summary_of(b""), b"x")
