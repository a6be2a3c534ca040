"""The `cloudoptim` command: start the server or a market, make keys, compute features."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer

import gapfill.features.table as features_table
from engines.catalogue import Catalogue
from engines.command import app as engine_app
from engines.confined_engine import EngineLimits
from engines.errors import EnginesError
from engines.replay.comparing import Progress
from engines.replay.errors import ReplayError
from engines.replay.report import as_markdown, as_values
from gapfill.errors import GapFillError
from gapfill.market.command import app as market_app
from services.errors import MarketMismatch, ServerError, SettingsInvalid
from services.keys import Keys, Role
from services.launch.market import AwsIdentity, Choice
from services.launch.up import UpOptions
from services.launch.up import up as start_server
from services.live.replaying import Files, replay_files
from services.release import RELEASE
from services.settings import Settings
from services.store.opening import open_store

app = typer.Typer(no_args_is_help=True, add_completion=False, help="CloudOptim ML Server.", rich_markup_mode=None)
keys_app = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke.")
app.add_typer(keys_app, name="keys")
app.add_typer(market_app, name="market")
app.add_typer(engine_app, name="engine")


@app.command()
def up(
    market: Annotated[Choice, typer.Option(help="aws, simulate, or auto: AWS where it is configured")] = "auto",
    live_activity: Annotated[float, typer.Option(help="simulated market: multiplies changes from now on")] = 200.0,
) -> None:
    """Start the whole server in the foreground; Ctrl-C stops it."""
    raise typer.Exit(start_server(UpOptions(market, live_activity, _confirm)))


@app.command()
def version() -> None:
    """Which release this is."""
    print(RELEASE)


@app.command()
def features(
    prices: Annotated[Path, typer.Option(help="price history: CLI JSON, TSV, CSV or Parquet")],
    out: Annotated[Path, typer.Option(help="where to write: .parquet or .csv")],
    on_demand: Annotated[Path | None, typer.Option(help="on-demand prices, CSV")] = None,
) -> None:
    """Compute the server's features from price history, for people who train elsewhere."""
    written = features_table.run(prices, out, on_demand_path=on_demand)
    print(f"{written.rows} rows of {written.pools} pools written to {out}; {written.refused} records were no prices")


@app.command()
def replay(
    data: Annotated[
        Path, typer.Option(envvar="CLOUDOPTIM_REAL_DATA", help="folder of price history, lists and spot_traces")
    ],
    engine: Annotated[list[str] | None, typer.Option(help="an engine's id; may be given more than once")] = None,
    draws: Annotated[int, typer.Option(min=0, max=200, help="draws of the pools, for intervals")] = 0,
    only: Annotated[Literal["prices", "traces", "all"], typer.Option(help="which past")] = "all",
    start: Annotated[datetime | None, typer.Option(help="first instant of the price window (UTC)")] = None,
    end: Annotated[datetime | None, typer.Option(help="end of the price window (UTC)")] = None,
    out: Annotated[Path | None, typer.Option(help="also write the figures here, as JSON")] = None,
) -> None:
    """Replay engines over real prices and availability traces; print what each would have cost."""
    files = Files.beneath(data).only(only)
    window = [at and at.replace(tzinfo=UTC) for at in (start, end)]
    settings = Settings.load()
    catalogue = Catalogue(settings.engine_dir, EngineLimits(decide_s=settings.engine_timeout_s))
    progress = Progress(told=_tell)
    asked = engine or ["spot_optimizer_v1"]
    found = list(replay_files(files, catalogue, asked, start=window[0], end=window[1], draws=draws, progress=progress))
    print(file=sys.stderr)
    print(as_markdown(found))
    if out is not None:
        out.write_text(json.dumps(as_values(found), indent=1))


def _tell(progress: Progress) -> None:
    print(f"\r{progress.done} of {progress.total} plays", end="", file=sys.stderr, flush=True)


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="whose key it is")],
    role: Annotated[Role, typer.Option(help="viewer, invoker, operator or admin")] = "viewer",
    expires_in_days: Annotated[float | None, typer.Option(help="default: never")] = None,
) -> None:
    """Make a key and print its token, this once."""
    expires = timedelta(days=expires_in_days) if expires_in_days else None
    key, token = _keys().create(name, role, expires)
    print(f"key     {key.key_id} ({role})")
    print(f"token   {token}")


@keys_app.command("list")
def list_keys() -> None:
    """List keys, without their tokens."""
    now = datetime.now(UTC)
    for key in _keys().list():
        state = "usable" if key.usable(now) else "revoked" if key.revoked_at else "expired"
        print(f"{key.key_id}  {key.role:8}  {state:8}  {key.created_at:%Y-%m-%d %H:%M}Z  {key.name}")


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="as `keys list` shows it")]) -> None:
    """End a key; a running server notices within a second."""
    key = _keys().revoke(key_id)
    print(f"{key.key_id} ({key.name}) is revoked")


def _keys() -> Keys:
    return Keys(open_store(Settings.load()))


def _confirm(identity: AwsIdentity) -> bool:
    if not sys.stdin.isatty():
        return False
    return typer.confirm(f"Found the AWS account {identity.account} ({identity.arn}). Read prices with it?")


def main() -> None:
    """The command; what cannot be is one clear line and exit code 1."""
    try:
        app()
    except MarketMismatch as error:
        _end(f"{error.where} belongs to the market {error.found}, not {error.expected}; choose another data directory")
    except SettingsInvalid as error:
        _end(str(error))
    except (ServerError, GapFillError, EnginesError, ReplayError) as error:
        _end(f"{type(error).__name__}: {': '.join(str(part) for part in error.args)}")


def _end(text: str) -> None:
    print(f"cloudoptim: {text}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
