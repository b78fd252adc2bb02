"""Kopf: it watches and starts and stops things. A few lines each, no decisions, no writes."""
