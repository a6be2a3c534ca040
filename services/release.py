"""Which release this is; pyproject.toml reads it from here."""

RELEASE = "0.1.0"
