"""Calls to AWS: a client for a service, and the region it is in, from the usual AWS chain.

Belongs here: what all services have in common. Does not belong here: what is asked of a service, or the sentence where
AWS refuses it (`errors.py`).
"""

from __future__ import annotations

import os
from typing import Any

from resources.errors import LakehouseError, translate_errors

# Adaptive: a client that is throttled slows down by itself.
PATIENCE: dict[str, Any] = {"retries": {"mode": "adaptive", "total_max_attempts": 6}, "connect_timeout": 10}


def client(service: str, session: Any = None, **config: Any) -> Any:
    """A boto3 client, made now and not kept; `config` is botocore's. LakehouseError where no region is set."""
    import boto3
    from botocore.config import Config

    with translate_errors(f"make a client of {service}"):
        session = session or boto3.Session()
        return session.client(service, region_name=region(session), config=Config(**{**PATIENCE, **config}))


def region(session: Any = None) -> str:
    """The region of the usual AWS chain, and of AWS_REGION, which boto3 passes over; LakehouseError where none is."""
    import boto3

    with translate_errors("find the region"):
        found = os.environ.get("AWS_REGION") or (session or boto3.Session()).region_name
    if not found:
        raise LakehouseError("No AWS region is set: set AWS_REGION, such as us-east-1, or a region in the AWS profile.")
    return str(found)
