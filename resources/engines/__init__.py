"""The engines that compute tables, each as a resource with one session for a run.

Belongs here: starting an engine, speaking Spark Connect to it, and ending it. Does not belong here: what is computed.
"""
