"""Takes a multipart/form-data body (RFC 7578) apart while it arrives: bounded headers, any number of parts."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Final
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from muniment.notary.errors import RefusedUploadError
from muniment.notary.intake import Upload, expected_digest

MAX_HEADER_BYTES: Final = 8192
"""One header line of a part; a name of 1024 bytes that is percent-encoded fits."""

MAX_HEADERS: Final = 16
FIELD: Final = "file"
_PLAIN_ENCODINGS = ("binary", "8bit", "7bit")


async def take_multipart(upload: Upload, content_type: str, body: AsyncIterable[bytes]) -> None:
    """Put every part named `file` into `upload`. Raises `RefusedUploadError` for everything else."""
    parts = _Parts(upload)
    try:
        parser = MultipartParser(
            _boundary(content_type),
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.header_field,
                "on_header_value": parts.header_value,
                "on_header_end": parts.header_end,
                "on_headers_finished": parts.headers_finished,
                "on_part_data": parts.data,
                "on_end": parts.end,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )
        async for chunk in body:
            if chunk:
                parser.write(chunk)
                await upload.breathe()
    except FormParserError as error:
        raise RefusedUploadError(
            f"the body is not multipart/form-data as RFC 7578 says ({error}): mend the client"
        ) from error
    if not parts.ended:
        raise RefusedUploadError("the body ended before its last boundary: send the request again, whole")


def _boundary(content_type: str) -> bytes:
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise RefusedUploadError("the Content-Type multipart/form-data has no boundary: let your HTTP client set it")
    return boundary


class _Parts:
    """The parser's callbacks: collects one part's headers, then passes its data on."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._field: list[bytes] = []
        self._value: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}
        self.ended = False

    def begin(self) -> None:
        self._headers = {}

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field.append(data[start:end])

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value.append(data[start:end])

    def header_end(self) -> None:
        self._headers[b"".join(self._field).lower()] = b"".join(self._value)
        self._field, self._value = [], []

    def headers_finished(self) -> None:
        field, name = _disposition(self._headers.get(b"content-disposition", b""))
        if field != FIELD:
            raise RefusedUploadError(f"a part is named {field!r}: name every part {FIELD}")
        encoding = self._headers.get(b"content-transfer-encoding", b"binary").decode("latin-1").strip().lower()
        if encoding not in _PLAIN_ENCODINGS:
            raise RefusedUploadError(f"a part has the transfer encoding {encoding}: send content as it is")
        digest = self._headers.get(b"x-content-sha256")
        self._upload.begin(name, expected_digest(None if digest is None else digest.decode("latin-1")))

    def data(self, data: bytes, start: int, end: int) -> None:
        # A whole chunk is passed on as it is; slicing it whole would not copy either.
        self._upload.data(bytes(data[start:end]))

    def end(self) -> None:
        self.ended = True


def _disposition(value: bytes) -> tuple[str, str]:
    """Field name and file name of a Content-Disposition, as browsers and RFC 7578 (section 4.2) write them."""
    parameters = _parameters(value)
    name = parameters.get(b"filename", b"")
    extended = parameters.get(b"filename*", b"")
    if extended:
        # RFC 8187: charset'language'percent-encoded.
        name = unquote_to_bytes(extended.split(b"'", 2)[-1])
    else:
        # Browsers escape these three, and nothing else (WHATWG HTML, "multipart/form-data encoding").
        name = name.replace(b"%22", b'"').replace(b"%0D", b"\r").replace(b"%0A", b"\n")
    return parameters.get(b"name", b"").decode("utf-8", "replace"), name.decode("utf-8", "replace")


def _parameters(value: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    rest = value
    while b";" in rest:
        rest = rest.split(b";", 1)[1]
        key, equals, rest_of_value = rest.partition(b"=")
        if not equals:
            break
        text, rest = _value(rest_of_value.lstrip())
        found.setdefault(key.strip().lower(), text)
    return found


def _value(text: bytes) -> tuple[bytes, bytes]:
    """A parameter's value, quoted or not, and what follows it (from the semicolon on)."""
    if not text.startswith(b'"'):
        value, semicolon, rest = text.partition(b";")
        return value.strip(), semicolon + rest
    end = text.find(b'"', 1)
    if end > 0 and b"\\" not in text[:end]:
        return text[1:end], text[end + 1 :]
    end = 1
    unescaped = bytearray()
    while end < len(text) and text[end : end + 1] != b'"':
        # A backslash only escapes a quote or itself: older browsers put bare ones into Windows paths.
        if text[end : end + 1] == b"\\" and text[end + 1 : end + 2] in (b'"', b"\\"):
            end += 1
        unescaped += text[end : end + 1]
        end += 1
    return bytes(unescaped), text[end + 1 :]
