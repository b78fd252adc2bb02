"""The corridor: which claims are looked at when, what one round does, and what it tells. Opens both doors, knows no Kopf."""
