"""Certificates that change while a manager runs: taken up, or told about once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trustme

from muniment.kernel.tls import CertificateFiles, MutualTls
from muniment.privacy.renewal import Renewal


def put(folder: Path) -> CertificateFiles:
    authority = trustme.CA()
    path = folder / "all.pem"
    issued = authority.issue_cert("127.0.0.1")
    path.write_bytes(issued.private_key_and_cert_chain_pem.bytes() + authority.cert_pem.bytes())
    return CertificateFiles(path, path, path)


def test_new_certificates_are_taken_up_once(tmp_path: Path) -> None:
    renewal = Renewal([MutualTls(put(tmp_path))])
    assert not renewal.happened()
    put(tmp_path)
    assert renewal.happened()
    assert not renewal.happened()


def test_rubbish_is_told_once_and_again_after_it_was_mended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = put(tmp_path)
    renewal = Renewal([MutualTls(files)])
    with caplog.at_level(logging.WARNING):
        for told in (1, 2):
            files.certificate.write_text("rubbish")
            assert not any(renewal.happened() for _ in range(3))
            assert len(caplog.records) == told
            put(tmp_path)
            assert renewal.happened()
    assert "the old ones stay" in caplog.text


def test_one_interface_with_rubbish_does_not_keep_the_other_from_its_new_ones(tmp_path: Path) -> None:
    for name in ("q2t", "p2p"):
        (tmp_path / name).mkdir()
    first, second = put(tmp_path / "q2t"), put(tmp_path / "p2p")
    renewal = Renewal([MutualTls(first), MutualTls(second)])
    first.certificate.write_text("rubbish")
    put(tmp_path / "p2p")
    assert renewal.happened()
