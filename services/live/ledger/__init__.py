"""The ledger: predictions joined to what then happened, and how good they were."""
