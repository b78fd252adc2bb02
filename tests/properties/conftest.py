"""How thoroughly the properties are tried: a machine that is busy with servers is no reason to fail."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "here", deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("here")
