"""MiniStack, with what it lacks of S3 put before it. Run by the Python of MiniStack's own environment, with `-P`:
beside this file lies another `ministack`.

Belongs here: what AWS does and MiniStack (1.5.33) does not, each with the place where AWS says so. Nothing of the
project is imported.
"""

from __future__ import annotations

from typing import Any

from ministack import app
from ministack.services import s3

copy = s3._copy_object


def copy_object(bucket: str, key: str, headers: dict[str, str]) -> Any:
    """CopyObject holds to `If-Match` and `If-None-Match` of what it replaces, as PutObject does, since October 2025
    (S3 User Guide, «Add preconditions to S3 operations with conditional requests»); MiniStack reads neither.
    """
    there = (s3._ensure_bucket(bucket) or {}).get("objects", {}).get(key)
    return s3._check_put_preconditions(headers, there) or copy(bucket, key, headers)


s3._copy_object = copy_object

if __name__ == "__main__":
    app.main()
