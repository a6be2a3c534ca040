"""The tests: unit, contract, architecture, api, cluster and e2e."""
