"""That whatever happened before, every table is what a rebuild would make it."""
