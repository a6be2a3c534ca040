"""Which store the settings ask for."""

from services.settings import Settings
from services.store.protocol import Store
from services.store.sqlite import SqliteStore

STORE_FILE = "store.sqlite3"


def open_store(settings: Settings) -> Store:
    """The store of `settings`, opened.

    Raises `StoreTooNew` when a newer release wrote it and `StoreUnavailable` when it does not answer.
    """
    return SqliteStore(settings.data_dir / STORE_FILE)
