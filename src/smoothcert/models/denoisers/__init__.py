"""Denoisers before a frozen classifier: the built-in ones, those of users, and one step of a diffusion model."""
