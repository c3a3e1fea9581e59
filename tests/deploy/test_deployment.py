"""The image and the instance of the production deployment: what goes into one, and whom the other one trusts.

That both work together is tested in `test_ecs.py`.
"""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import requires
from pathlib import Path
from socket import create_server
from threading import Thread
from typing import Any

import pytest
import trustme
import yaml
from dagster_postgres.utils import pg_url_from_config
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from tests.support import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
INSTANCE: dict[str, Any] = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())

# The image ----------------------------------------------------------------------------------------------------------


def test_the_image_is_built_by_the_rules() -> None:
    # Nobody can build it in a test: hadolint knows what makes a build fail, or a bad image.
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DEPLOY / "Dockerfile"], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_has_a_base_with_a_digest_all_that_the_project_reads_and_a_user_who_is_not_root() -> None:
    (base,) = re.findall(r"^FROM (.+)$", DOCKERFILE, re.MULTILINE)
    assert base == "python:3.11-slim@${PYTHON_DIGEST}"
    assert re.search(r"^ARG PYTHON_DIGEST$", DOCKERFILE, re.MULTILINE), "no default: one that is old is none"
    copied = {source for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for source in line.split()}
    assert [source for source in copied if not (ROOT / source).exists()] == []
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert copied >= {f"{name}/" for name in packages if "." not in name}
    assert INSTANCE["storage"]["postgres"]["postgres_db"]["params"]["sslrootcert"] in DOCKERFILE
    (user,) = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0


def test_the_code_server_that_the_image_starts_listens_on_the_loopback_interface_where_the_others_look_for_it() -> None:
    (serve,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    command = json.loads(serve)
    listens = {option: command[command.index(option) + 1] for option in ("--host", "--port")}
    (location,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    assert listens == {"--host": "127.0.0.1", "--port": "4000"}
    assert (location["grpc_server"]["host"], location["grpc_server"]["port"]) == ("127.0.0.1", 4000)


def pinned(path: Path) -> dict[str, str]:
    """The versions in a file of requirements or constraints, by name."""
    lines = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


def needed(name: str, extras: tuple[str, ...], found: set[str]) -> set[str]:
    """The packages that a package needs on Linux, by what is installed here, itself among them."""
    for one in map(Requirement, requires(name) or ()):
        marker = one.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            child = canonicalize_name(one.name)
            if child not in found or one.extras:
                found.add(child)
                needed(child, tuple(one.extras), found)
    return found


def test_the_image_installs_the_tested_versions_of_all_that_is_needed_each_by_its_hash() -> None:
    """In step with constraints.txt and pyproject.toml: `make hashes` writes it."""
    installed, tested = pinned(DEPLOY / "requirements.txt"), pinned(ROOT / "constraints.txt")
    assert {name: tested.get(name) for name in installed} == installed
    assert set(installed) == needed("stedi-lakehouse", ("deploy",), set())
    blocks = re.split(r"\n(?=[A-Za-z])", (DEPLOY / "requirements.txt").read_text())[1:]
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert re.search(r"^RUN pip install --require-hashes --no-deps .*requirements.txt$", DOCKERFILE, re.MULTILINE)


# The database -------------------------------------------------------------------------------------------------------


@contextmanager
def database(authority: trustme.CA, name: str) -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server that speaks as much of Postgres's protocol as is needed to see whom a client talks to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    told: list[bytes] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(8)  # may it be encrypted?
            connection.sendall(b"S")
            try:
                with context.wrap_socket(connection, server_side=True) as encrypted:
                    told.extend(filter(None, [encrypted.recv(1024)]))
            except ssl.SSLError:
                pass

    with create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], told
        thread.join(10)


@pytest.mark.parametrize(
    ("name", "trusted", "ends"),
    [
        ("localhost", True, "EOF detected|closed the connection"),  # by the server, which has heard enough
        ("localhost", False, "certificate verify failed"),
        ("another.example.com", True, "does not match host name"),
    ],
    ids=["the database", "one that says so", "another one"],
)
def test_the_instance_talks_to_the_database_of_that_name_alone(
    tmp_path: Path, name: str, trusted: bool, ends: str
) -> None:
    theirs, other = trustme.CA(), trustme.CA()
    (theirs if trusted else other).cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    config = INSTANCE["storage"]["postgres"]["postgres_db"]
    own = {"hostname": "localhost", "username": "dagster", "password": "secret", "db_name": "dagster"}
    with database(theirs, name) as (port, told):
        params = {**config["params"], "sslrootcert": str(tmp_path / "ca.pem"), "gssencmode": "disable"}
        url = pg_url_from_config({"postgres_db": {**config, **own, "port": port, "params": params}})
        with pytest.raises(OperationalError, match=ends):
            create_engine(url).connect()
    assert [b"dagster" in message for message in told] == ([True] if trusted and name == "localhost" else [])
