"""A landing zone to deliver into, on this machine or in S3, and what can go wrong with its files and locks."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from resources.files.folder import Folder, LocalFolder
from resources.files.landing_zone import LandingZone, folder_at
from resources.files.manifest import SyncResult
from tests.servers.ministack import Aws
from tests.support import ROOT, require

ONE, TWO, THREE = (f'{{"email": "{name}@x.se"}}\n'.encode() for name in ("ann", "bob", "eve"))
PRETTY = b'[\n  {\n    "email": "ann@x.se"\n  }\n]\n'
SEPARATORS = "[], \t\r\n\ufeff"
LISTS = ("manifest.json", ".files.json")


def sync(zone: LandingZone, feed: str = "customer") -> SyncResult:
    """Sync as a run does: under the feed's lock."""
    with zone.lock(feed, print):
        return zone.sync(feed)


def put(folder: Folder, name: str, content: bytes) -> None:
    with folder.create(name) as out:
        out.write(content)


def remove_folder(folder: Folder) -> None:
    folder.remove([file.name for file in folder.files()])
    if isinstance(folder, LocalFolder):
        shutil.rmtree(folder.root)


def make_empty_folder(folder: Folder) -> None:
    """As people do: in S3 by an empty object whose name ends with a slash."""
    if isinstance(folder, LocalFolder):
        folder.root.mkdir(exist_ok=True)
    else:
        put(folder, "", b"")


def contents(folder: Folder) -> dict[str, bytes]:
    found = {}
    for file in folder.files():
        with file.open() as stream:
            found[file.name] = stream.read()
    return found


@dataclass
class Zone:
    """A source that tests deliver into, and the landing zone of the feed `customer`."""

    base: str
    source: str = "source"
    access: str = "credentials"

    @classmethod
    def in_s3(cls, aws: Aws) -> Zone:
        return cls(f"s3://{aws.new_bucket()}")

    # Kept, because making a client of S3 takes longer than a sync.
    @cached_property
    def zone(self) -> LandingZone:
        return LandingZone(
            root=f"{self.base}/lakehouse", source=f"{self.base}/{self.source}", source_access=self.access
        )

    def sync(self) -> SyncResult:
        return sync(self.zone)

    @cached_property
    def folder(self) -> Folder:
        return folder_at(self.base)

    @property
    def delivered(self) -> Folder:
        return self.folder.below(f"{self.source}/customers")

    @property
    def landed(self) -> Folder:
        return self.folder.below("lakehouse/customer_landing")

    @property
    def beside(self) -> Folder:
        return self.folder.below("lakehouse/landing/customer")

    def deliver(self, name: str, content: bytes) -> Path:
        """Deliver a file; where it lies, if that is on this machine."""
        put(self.delivered, name, content)
        return Path(self.delivered.path(name))

    def withdraw(self, *names: str) -> None:
        self.delivered.remove(names or [file.name for file in self.delivered.files()])

    def deliver_what_cannot_be_read(self, name: str) -> None:
        refused = Path("/proc/self/mem")  # to root too
        require(refused.exists(), f"this machine has no {refused}")
        path = self.deliver(name, b"")
        path.unlink()
        path.symlink_to(refused)

    @property
    def files(self) -> dict[str, bytes]:
        """Every file of the landing zone, hidden ones too."""
        return contents(self.landed)

    @property
    def copies(self) -> dict[str, bytes]:
        """What lies beside the landed files and is no list of them."""
        return {name: content for name, content in contents(self.beside).items() if not name.endswith(LISTS)}

    @property
    def stamps(self) -> dict[str, str]:
        """What changes when a file is written again, on this machine, or with other content, in S3."""
        files = [*self.landed.files(), *self.beside.files()]
        return {file.folder.path(file.name): file.stamp for file in files if not file.name.endswith(LISTS)}

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What an engine reads: the landed file and the text of each line, in no order."""
        found, folders = [], (self.landed, self.beside)
        with self.zone.readable("customer", self.zone.landed("customer").files) as texts:
            known = {folder.path(name): text for folder in folders for name, text in contents(folder).items()}
        for text in texts:
            content = known[text.path]
            for line in (gzip.decompress(content) if text.path.endswith(".gz") else content).decode().split("\n"):
                file, _, rest = (text.file, "", line) if text.file else line.partition("\t")
                if line.strip():
                    found.append((file, rest))
        return sorted(found)


@contextmanager
def full_disk(after: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def someone_else() -> Iterator[None]:
    """Root may read everything: while the block runs, this process is nobody."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(was)


@contextmanager
def growing(path: Path, more: bytes) -> Iterator[None]:
    """Another process appends to the file all the while."""
    script = f"import sys\nwhile True:\n  with open(sys.argv[1], 'ab') as out: out.write({more!r})"
    size = path.stat().st_size
    writer = subprocess.Popen([sys.executable, "-S", "-c", script, path])
    try:
        while path.stat().st_size == size:
            time.sleep(0.001)
        yield
    finally:
        writer.kill()
        writer.wait()


HOLDER = """
import sys
from pathlib import Path
from resources.files.locks import lock
with lock(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_holds(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process has the lock, until its stdin is closed."""
    command, environment = [sys.executable, "-c", HOLDER, str(path)], {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        yield holder
        holder.kill()
