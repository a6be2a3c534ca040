"""Engines replayed over the past: what each would have cost, and what nobody could have beaten."""
