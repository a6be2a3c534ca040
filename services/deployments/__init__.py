"""Thin Ray Serve and actor shells over the plain classes of the other rooms."""
