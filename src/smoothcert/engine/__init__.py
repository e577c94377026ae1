"""Engines: what is missing -> sampling -> ledger lines. The answer does not depend on the engine."""
