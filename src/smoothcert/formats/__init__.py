"""Everything that lies on disk, version 1: the one place that knows its keys.

Each module documents one file, key by key. What version 1 means, and what later versions may add, is in
`docs/formats.md`. Imports nothing of this package but the errors, so that every room can read and write by it.
"""
