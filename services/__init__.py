"""The server: the API, its deployments, and the rooms behind them."""
