"""Measurements: what is claimed about speed, as commands."""
