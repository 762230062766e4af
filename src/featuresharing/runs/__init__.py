"""Resumable work without a command line: its identity, stopping, and taking over what an earlier process did."""
