"""The live loop: one tick after another, and the feed that carries its events."""
