"""Historic and current AWS prices: pulled, kept, measured for holes, turned into features."""
