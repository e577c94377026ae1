"""The deployable bundle as evidence: its record, its files by their hashes, and where it is not what was certified."""
