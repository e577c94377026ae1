"""The files on disk, version 1: the keys of spec.json, ledger lines, events, results.json, cost.json, plan.json, cards.

Each module documents one file, key by key. `docs/formats.md` says what version 1 means and what later versions may add.
This package imports nothing of smoothcert but `errors`, so that every other package can use it.
"""
