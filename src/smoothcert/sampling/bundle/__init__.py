"""Saving a smoothed classifier as a bundle, and loading it again; what a bundle is, `evidence.bundle` says."""
