"""Everything that a run imports, and nothing that it starts: what processes are forked from holds no thread."""

import tests.faults.command  # noqa: F401
