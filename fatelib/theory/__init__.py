"""Closed forms: pure functions that broadcast, compile, batch and differentiate."""
