"""The smallest confined program: it gives back what it gets."""


def echo(request: bytes) -> bytes:
    """The request."""
    return request
