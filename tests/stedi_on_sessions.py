"""STEDI's code location with its engine on a session of AWS's and its tables in a local folder: `dagster -m` loads it.

For runs in processes of their own. The engine behind the test server shares this machine's disk, so S3 is not needed.
"""

import os

import dagster as dg

from resources.engines.embedded import EmbeddedSpark
from resources.engines.remote import RemoteSpark
from resources.settings import Settings
from stedi_assets.definitions import build_definitions
from tests.resources.session_runs import engine

RemoteSpark.read_text = EmbeddedSpark.read_text  # type: ignore[method-assign]  # as the fixtures have it


@dg.definitions
def defs() -> dg.Definitions:
    """The code location."""
    return build_definitions(Settings.from_environment(), {"spark": engine(os.environ["SESSIONS_OF"])})
