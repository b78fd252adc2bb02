"""Passwords that occur nowhere else."""

import secrets


def fresh_password() -> str:
    """Make a long password that nobody else has."""
    return f"pw-{secrets.token_urlsafe(24)}"
