"""Raw files: folders on this machine and in S3, the landing zone and its manifest.

Belongs here: syncing files with a source, byte for byte, and making them readable line by line. Does not belong here:
what a record means.
"""
