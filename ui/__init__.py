"""The web page: a client of the HTTP API like any other."""
