"""Which store the settings ask for."""

from services.settings import Settings
from services.store.protocol import Store
from services.store.redis import RedisAddress, RedisStore
from services.store.sqlite import SqliteStore

STORE_FILE = "store.sqlite3"


def open_store(settings: Settings) -> Store:
    """The store of `settings`, opened.

    Raises `StoreTooNew` when a newer release wrote it and `StoreUnavailable` when it does not answer.
    """
    if settings.store == "sqlite":
        return SqliteStore(settings.data_dir / STORE_FILE)
    password = settings.redis_password
    return RedisStore(
        RedisAddress(
            host=settings.redis_host,
            port=settings.redis_port,
            db=settings.redis_db,
            username=settings.redis_username,
            password=password.get_secret_value() if password else None,
            tls=settings.redis_tls,
            namespace=settings.store_namespace,
        )
    )
