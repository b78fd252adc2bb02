"""The pure rooms: values and decisions. They know the standard library only; no clock, no I/O, no logging."""
