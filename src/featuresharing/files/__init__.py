"""Files: given their names only when complete, recorded with digests, locked while they are written."""
