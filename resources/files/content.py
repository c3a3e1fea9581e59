"""What a file's first bytes say of it: whether it is compressed, how its text is encoded, and what is no JSON at all.

Names say nothing of this: tools save UTF-16 as `.json`, and browsers unpack what they leave named `.json.gz`.
Does not belong here: how text becomes lines (`ndjson.py`).
"""

from __future__ import annotations

import codecs
import gzip
import re
from collections.abc import Iterable, Iterator
from typing import Any

CHUNK = 1 << 20
GZIP = b"\x1f\x8b"
_MARKS = {  # the longer ones first: UTF-32's begins like UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_KINDS = {
    rb"PAR1": "Parquet",
    rb"ORC": "ORC",
    rb"Obj\x01": "Avro",
    rb"PK\x03\x04": "a zip archive or a workbook",
    rb"\x1f\x8b": "gzip inside of gzip",
    rb"BZh[1-9]": "bzip2",
    rb"\x28\xb5\x2f\xfd": "Zstandard",
    rb"\xfd7zXZ": "xz",
    rb"\x89PNG|\xff\xd8\xff|GIF8": "a picture",
    rb"%PDF": "PDF",
    rb"SQLite format 3": "an SQLite database",
    rb"\s*<[!?A-Za-z]": "XML or HTML",
    rb"\s*(?:[{\[]\0|\0[{\[])": "UTF-16 without its mark (FF FE or FE FF): save it as UTF-8",
    rb'[\w" .-]+(?:[,;|\t][\w" .-]*)+\r?\n\s*[^\s{]': "a table of separated values (CSV)",
}


class OtherKindError(Exception):
    """The file is whole, and holds something else than JSON; the message says what."""


def unpacked(raw: Any) -> tuple[Any, str]:
    """A file's bytes, decompressed if they are compressed, and the encoding of its text; `raw` can peek."""
    stream = gzip.GzipFile(fileobj=raw, mode="rb") if raw.peek(2).startswith(GZIP) else raw
    head = stream.peek(4)
    encodings = (encoding for mark, encoding in _MARKS.items() if head.startswith(mark))
    return stream, next(encodings, "utf-8")


def utf8_chunks(stream: Any, encoding: str) -> Iterator[bytes]:
    """The text in chunks, as UTF-8; what is no UTF-8 in a file of that encoding passes as it is."""
    chunks: Iterable[bytes] = iter(lambda: stream.read(CHUNK), b"")
    if encoding != "utf-8":
        chunks = codecs.iterencode(codecs.iterdecode(chunks, encoding, errors="replace"), "utf-8")
    for number, chunk in enumerate(chunks):
        kind = None if number else next((kind for start, kind in _KINDS.items() if re.match(start, chunk)), None)
        if kind:
            raise OtherKindError(f"it is no JSON, but {kind}")
        yield chunk
