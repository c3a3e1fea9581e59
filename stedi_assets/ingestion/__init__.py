"""From the text of a feed's files to typed records.

Belongs here: parsing text, and what a delivery held. Does not belong here: syncing files (`resources/files/`).
"""
