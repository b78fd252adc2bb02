"""Mistakes that people make, as tables; what is said to each of them is in docs/messages.md, and tests compare."""
