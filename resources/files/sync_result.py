"""What bringing one feed did, as data.

Belongs here: which files were new, replaced, refused or left out, and what follows from that alone. Does not belong
here: bringing them (`landing_zone.py`), or judging what is told here.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from resources.files.manifest import LandedFile
from resources.files.ndjson import FileShape


@dataclass
class Landing:
    """What bringing one feed did, and what its landing zone holds now.

    `duplicates` maps a file to the one that has its content; `unreadable` maps a file to what went wrong; `left_out`
    are the files of another source that the landing zone held before.
    """

    files: list[LandedFile]
    new: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    duplicates: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all landed files."""
        return sum(file.size for file in self.files)

    @property
    def kept(self) -> set[str]:
        """Files that the source has no more."""
        return {file.name for file in self.files}.difference(self.new, self.replaced, self.unchanged)

    @property
    def empty(self) -> list[str]:
        """Files that hold nothing but blanks."""
        return [file.name for file in self.files if file.shape is FileShape.EMPTY]

    @property
    def rewritten(self) -> list[str]:
        """Files that no engine reads line by line, and that were therefore rewritten as lines beside."""
        return [file.name for file in self.files if file.shape.needs_rewriting]

    @property
    def fields(self) -> Counter[str]:
        """The fields that a sample of the records has, and in how many files each was seen."""
        return Counter(name for file in self.files for name in file.fields)

    @property
    def fingerprint(self) -> str:
        """Equal for equal sets of contents, whatever the files' names and dates."""
        return hashlib.sha256("\n".join(sorted(file.sha256 for file in self.files)).encode()).hexdigest()[:16]
