"""A market that speaks AWS's own protocol: simulated, or replayed from real history."""
