"""From the text of a feed's files to typed records.

Belongs here: parsing text, and what a delivery held. Does not belong here: bringing files (`resources/files/`).
"""
