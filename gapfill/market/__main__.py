"""`python -m gapfill.market` is `cloudoptim market`."""

from gapfill.market.command import app

if __name__ == "__main__":
    app()
