"""STEDI's tables on EMR Serverless: what becomes of them, and of the session, where a run does not go well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stedi_assets.contracts import TABLES
from tests.resources.emr_runs import engine
from tests.servers.emr_serverless import EmrServerless, Fault
from tests.stedi_assets.examples import deliver_example
from tests.support import ROOT, Stedi
