"""Decision engines: their contract, their checks, their confinement, and the built-in ones."""
