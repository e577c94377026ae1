"""Everything that lies on disk, version 1: the one place that knows its keys. Imports nothing but the errors."""
