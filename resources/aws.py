"""Calls to AWS: a client for a service, its keys, and the region it is in, from the usual AWS chain.

Belongs here: what all services have in common. Does not belong here: what is asked of a service, or the sentence where
AWS refuses it (`errors.py`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from resources.errors import LakehouseError, translate_errors

if TYPE_CHECKING:
    import boto3

# Adaptive: a client that is throttled slows down by itself.
PATIENCE: dict[str, Any] = {"retries": {"mode": "adaptive", "total_max_attempts": 6}, "connect_timeout": 10}


def client(service: str, session: Any = None, **config: Any) -> Any:
    """A boto3 client, made now and not kept; `config` is botocore's. LakehouseError where no region is set."""
    from botocore.config import Config

    with translate_errors(f"make a client of {service}"):
        session = session or new_session()
        return session.client(service, region_name=region(session), config=Config(**{**PATIENCE, **config}))


def new_session(**given: Any) -> boto3.Session:
    """A session of the usual AWS chain; `given` is boto3's. Its keys are asked for with each request.

    botocore renews those of roles. Others it keeps for good, though somebody may rotate them while a table is computed.
    """
    import boto3
    import botocore.session
    from botocore.credentials import Credentials, RefreshableCredentials
    from botocore.exceptions import ConfigParseError, PartialCredentialsError

    def load_credentials() -> Credentials | None:
        found = usual.load_credentials()
        if found is None or found.method not in ("env", "shared-credentials-file", "config-file"):
            return found

        def now() -> dict[str, Any]:
            nonlocal found
            # A file that is just rewritten has none, or a half: those of before may be good for one request more.
            with suppress(PartialCredentialsError, ConfigParseError):
                found = usual.load_credentials() or found
            ends = datetime.now(UTC) + timedelta(hours=1)
            return {**found.get_frozen_credentials()._asdict(), "expiry_time": ends.isoformat()}

        # botocore is to think of them that they end within two hours, whenever it looks: so it asks again.
        return RefreshableCredentials.create_from_metadata(now(), now, found.method, 7200, 7200)

    core = botocore.session.get_session()
    session = boto3.Session(botocore_session=core, **given)
    usual = core.get_component("credential_provider")
    core.register_component("credential_provider", SimpleNamespace(load_credentials=load_credentials))
    return session


def region(session: Any = None) -> str:
    """The region of the usual AWS chain, and of AWS_REGION, which boto3 passes over; LakehouseError where none is."""
    import boto3

    with translate_errors("find the region"):
        found = os.environ.get("AWS_REGION") or (session or boto3.Session()).region_name
    if not found:
        raise LakehouseError("No AWS region is set: set AWS_REGION, such as us-east-1, or a region in the AWS profile.")
    return str(found)
