"""Turning any JSON file into lines that an engine can read.

Belongs here: telling whether a file already is such lines, and rewriting one that is not: objects that span lines,
a line too long to hold in memory, or text that is not UTF-8 (an engine would stop at it).
Does not belong here: what is in the objects, or what compresses and encodes them (`content.py`). Nothing is dropped:
text between objects becomes lines of its own.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from io import TextIOWrapper
from itertools import chain
from typing import Any

from resources.files.content import CHUNK, unpacked

LONGEST_LINE = 1000  # bytes: regular expressions recurse on the JVM, so engines cut only lines up to this length
LONGEST_OBJECT = 1 << 20  # characters: beyond it, an object that does not end is taken for a broken one
LONGEST_SCRAP = 1 << 11  # characters: more than LONGEST_LINE, so that engines look for no object in it
CONTINUED = '…"'  # nothing that begins so can be read as a record, nor is one looked for behind the quote
# A byte order mark as a whole: each of its bytes alone is no text, and not to be passed over.
_BLANK = re.compile(rb"\A(?:[ \t\r\n]+|\xef\xbb\xbf)*")
# A line ends inside of an object: a brace that opened on it is still open, and what follows opens no other, as behind
# a record that was cut off; or a nested object ends, and a key follows.
_OTHER_LINE = re.compile(rb"\n[ \t\r]*[^{ \t\r]")
_SPANS = re.compile(rb'\{[^{}\n]*\n[ \t\r\n]*[^{ \t\r\n]|\}[ \t\r]*,[ \t\r]*\n[ \t\r\n]*"')
_SEPARATORS = "[], \t\r\n\ufeff"
# Strings are passed over whole, so that a brace in one does not count. JSON strings never span lines.
_TOKEN = re.compile(r'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"?|[{}]')


class FileShape(StrEnum):
    """How a file can be read."""

    LINES = "lines"  # as it is
    SPANNING = "spanning"  # objects span lines: rewritten, one object a line
    LONG_LINES = "long lines"  # too long for an engine's regular expressions: each line is cut into its objects
    NOT_UTF8 = "not utf-8"  # or compressed where its name does not say so: rewritten line by line
    EMPTY = "empty"

    @property
    def needs_rewriting(self) -> bool:
        """Whether an engine reads a rewritten copy instead of the file."""
        return self in (FileShape.SPANNING, FileShape.LONG_LINES, FileShape.NOT_UTF8)


def inspect(chunks: Iterable[bytes]) -> FileShape:
    """The shape of a file, from its text in UTF-8, or what should be that, as its bytes pass by."""
    decoder, is_text, head = codecs.getincrementaldecoder("utf-8")(), True, b""
    a_line_is_long, unfinished = False, 0  # bytes of the line that has not ended yet
    spans, last_line = False, b""
    for chunk in chain(chunks, (b"",)):
        if len(head) < LONGEST_LINE:
            head = _BLANK.sub(b"", head + chunk, count=1)[:LONGEST_LINE]
        if not spans:
            spans, last_line = _spans_lines(last_line, chunk)
        start = -unfinished
        # From line to line, as far as a line may reach: most need not be looked at.
        while not a_line_is_long and start + LONGEST_LINE < len(chunk):
            end = chunk.rfind(b"\n", max(start, 0), start + LONGEST_LINE + 1)
            a_line_is_long, start = end == -1, end + 1
        last = chunk.rfind(b"\n", max(start, 0))
        unfinished = len(chunk) - (start if last == -1 else last + 1)
        try:
            is_text = is_text and decoder.decode(chunk, final=not chunk) is not None
        except UnicodeDecodeError:
            is_text = False
    if not head:
        return FileShape.EMPTY
    if spans:
        return FileShape.SPANNING
    if a_line_is_long:
        return FileShape.LONG_LINES
    return FileShape.LINES if is_text else FileShape.NOT_UTF8


def _spans_lines(last_line: bytes, chunk: bytes) -> tuple[bool, bytes]:
    """Whether any object goes on behind the end of a line, and the last line that is not blank, to look at again."""
    # Nearly always each line opens an object, and none spans lines: that is searched for in a 20th of the time.
    looks_odd = last_line[-1:].isspace() or _OTHER_LINE.search(chunk)
    if looks_odd and _SPANS.search(last_line + chunk):
        return True, b""
    start = chunk.rfind(b"\n", 0, len(chunk.rstrip())) + 1
    last_line = chunk[start:] if start else last_line + chunk
    return False, last_line if len(last_line) < CHUNK else b"}"  # of an object that is broken, if it is one


def ndjson_lines(raw: Any, shape: FileShape) -> Iterator[str]:
    """The lines of a file's bytes (of a stream that can peek), without their ends; what is no text becomes U+FFFD."""
    stream, encoding = unpacked(raw)
    cut = shape in (FileShape.SPANNING, FileShape.LONG_LINES)
    reader = TextIOWrapper(stream, encoding, errors="replace", newline="" if cut else "\n")
    if not cut:
        yield from (line.removesuffix("\n") for line in reader)
        return
    if shape is FileShape.SPANNING:
        yield from object_lines(iter(lambda: reader.read(CHUNK), ""))
    while start := reader.readline(CHUNK):
        yield from object_lines(_whole_line(start, reader))


def _whole_line(start: str, reader: TextIOWrapper) -> Iterator[str]:
    """The line that begins so, in chunks: a feed may be one line, and larger than the memory."""
    yield start
    while not start.endswith(("\n", "\r")) and (start := reader.readline(CHUNK)):
        yield start


def object_lines(chunks: Iterable[str]) -> Iterator[str]:
    """Each top-level object of the text as one line, and each text between objects that is no separator.

    What is no whole object within LONGEST_OBJECT characters becomes several lines of LONGEST_SCRAP each: an engine has
    thousands of lines in memory at once, and several copies of them. All but the first begin with CONTINUED.
    """
    cutter = _Cutter()
    for chunk in chunks:
        yield from cutter.feed(chunk)
    yield from cutter.feed("", final=True)


class _Cutter:
    """Cuts a text into lines while it comes in chunks. Where the chunks end changes none of them."""

    def __init__(self) -> None:
        self._text = ""
        self._margin = ""  # what the text's first line began with, before it was cut off
        self._next_object: re.Pattern[str] | None = None  # inside an object that never ends: what begins behind it

    def feed(self, chunk: str, *, final: bool = False) -> Iterator[str]:
        """The lines that are complete now; with `final`, all that are left."""
        self._text += chunk
        position = 0
        ends: dict[int, int | None] = {}
        while position < len(self._text):
            goes_on = self._next_object is not None
            end = self._end_of_broken(position, final) if goes_on else self._end(position, final, ends)
            if end is None:
                break
            piece = self._text[position:end]
            # An object is one line whatever lines it spans; between objects, each line is a text of its own.
            whole = goes_on or piece.startswith("{")
            split = goes_on or (len(piece) >= LONGEST_OBJECT and ends.get(position) is None)
            lines = [re.sub(r"[\r\n]+", " ", piece)] if whole else re.split(r"[\r\n]+", piece)
            stripped = filter(None, (line.strip(_SEPARATORS) for line in lines))
            yield from chain.from_iterable(_scraps(line, goes_on) for line in stripped) if split else stripped
            position = end
        self._margin = self._line_before(position)[:LONGEST_LINE]
        self._text = self._text[position:]

    def _end(self, position: int, final: bool, ends: dict[int, int | None]) -> int | None:
        """Where the object at the position ends, or the text before the next one; None: that is not there yet."""
        start = self._text.find("{", position)
        if start > position:
            return start
        if start == -1:
            whole_lines = self._text.rfind("\n", position) + 1
            too_long = len(self._text) - position >= LONGEST_OBJECT
            return len(self._text) if final or (too_long and not whole_lines) else whole_lines or None
        if start not in ends:
            ends |= _object_ends(self._text, start)
        end = ends[start]
        if end is not None:
            return end
        if not final and len(self._text) - start < LONGEST_OBJECT:
            return None
        # The object never ends. It must not hide those behind it, nor may one inside of it pass for a record: the next
        # one opens on a line of its own, indented no deeper.
        before = self._line_before(start)
        indent = len(before) if not before.strip("[, \t\ufeff") else 0
        self._next_object = re.compile(rf"\n[ \t]{{0,{indent}}}\{{")
        return self._end_of_broken(start, final)

    def _end_of_broken(self, position: int, final: bool) -> int | None:
        """Where the next object begins behind one that never ends, or how much of it is to be a line."""
        assert self._next_object is not None
        following = self._next_object.search(self._text, position)
        if following:
            self._next_object = None
            return following.end() - 1
        if final:
            return len(self._text)
        # The next object's line may have begun.
        end = self._text.rfind("\n", position, len(self._text.rstrip(" \t")))
        begun = end > position and not self._text[end:].strip()
        end = end if begun else len(self._text)
        return end if end - position >= LONGEST_OBJECT else None

    def _line_before(self, position: int) -> str:
        """What stands before the position on its line."""
        start = self._text.rfind("\n", 0, position) + 1
        return self._text[start:position] if start else self._margin + self._text[:position]


def _scraps(line: str, goes_on: bool) -> Iterator[str]:
    """The line in parts; `goes_on` says that the first one, too, goes on with what came before."""
    for start in range(0, len(line), LONGEST_SCRAP):
        scrap = line[start : start + LONGEST_SCRAP].strip(_SEPARATORS)
        if scrap:
            yield f"{CONTINUED} {scrap}" if goes_on or start else scrap


def _object_ends(text: str, start: int) -> dict[int, int | None]:
    """Where the object at `start` ends, and each inside of it. None: it never does."""
    ends: dict[int, int | None] = {}
    opened: list[int] = []
    for token in _TOKEN.finditer(text, start):
        if token.group() == "{":
            opened.append(token.start())
            ends[token.start()] = None
        elif token.group() == "}":
            ends[opened.pop()] = token.end()
            if not opened:
                break
    return ends
