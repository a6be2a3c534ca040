"""What runs beside the loop where a central platform is set: decisions go to it, and clusters may come from it."""

import threading
from collections.abc import Callable

from services.composition.parts import Parts
from services.live.clusters import Clusters
from services.live.delivery import Courier
from services.live.platform import CentralPlatform
from services.live.pulling import ClusterPuller
from services.store.protocol import Lease

STOP_PATIENCE_S = 12.0  # a request that is under way may take its whole time
Work = Callable[[threading.Event], None]


def open_delivery(parts: Parts, lease: Lease) -> tuple[Courier | None, tuple[Work, ...]]:
    """The courier to wake and what is to run beside the loop; nothing without CENTRAL_PLATFORM_URL."""
    settings = parts.settings
    if settings.central_platform_url is None:
        return None, ()
    key = settings.central_platform_api_key
    platform = CentralPlatform(settings.central_platform_url, key.get_secret_value() if key else None)
    courier = Courier(parts.store, platform, lease, parts.metrics)
    if not settings.central_platform_pull_s:
        return courier, (courier.run,)
    puller = ClusterPuller(platform, Clusters(parts.store), settings.central_platform_pull_s)
    return courier, (courier.run, puller.run)


def accompanied(work: Work, others: tuple[Work, ...]) -> Work:
    """The work with each of the others on a thread of its own, from its start to its end."""

    def all_of_it(stop: threading.Event) -> None:
        ended = threading.Event()
        threads = [threading.Thread(target=other, args=(ended,), name="platform", daemon=True) for other in others]
        for thread in threads:
            thread.start()
        try:
            work(stop)
        finally:
            ended.set()
            for thread in threads:
                thread.join(STOP_PATIENCE_S)

    return all_of_it
