"""What each process of a server does first."""

from engines.sandbox_confine import refuse_inspection
from services.settings import Settings
from services.telemetry import configure_logging


def begin(component: str, settings: Settings) -> None:
    """Send this process's logs to `<log_dir>/<component>.log`, or to stderr, which Ray collects, where none is set.

    From then on no process of the same user may trace it or read its memory: it holds keys and credentials.
    """
    stream = None
    if settings.log_dir is not None:
        settings.log_dir.mkdir(parents=True, exist_ok=True)
        # Line by line and in append mode: several replicas of one component may share the file.
        stream = (settings.log_dir / f"{component}.log").open("a", buffering=1)
    configure_logging(settings.log_level, component, secrets=settings.secrets(), stream=stream)
    refuse_inspection()
