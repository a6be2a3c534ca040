"""The optimiser behind the built-in engines: offers, consolidation, the mix, its explanation, its plan."""
