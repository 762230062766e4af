"""Resumable work without a command line: what was done is kept, whatever interrupts the rest."""
