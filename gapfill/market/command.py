"""`python -m gapfill.market simulate|replay`: a market in the foreground."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gapfill.errors import PriceFileInvalid
from gapfill.market.errors import MarketServerError
from gapfill.market.server import MarketOptions, run

app = typer.Typer(help="A market that speaks AWS's protocol on 127.0.0.1.", no_args_is_help=True)

_Port = Annotated[int, typer.Option(help="0 takes a free port")]
_State = Annotated[Path | None, typer.Option(help="folder that keeps the market across restarts")]
_WithParent = Annotated[bool, typer.Option(help="end when the starting process ends")]


@app.command()
def simulate(
    seed: int = 7,
    live_activity: Annotated[float, typer.Option(help="multiplies changes and interruptions from now on")] = 1.0,
    regions: Annotated[str, typer.Option(help="comma-separated; all by default")] = "",
    types: Annotated[str, typer.Option(help="comma-separated instance types; all by default")] = "",
    zones: Annotated[str, typer.Option(help="comma-separated zone names; all by default")] = "",
    port: _Port = 0,
    state: _State = None,
    with_parent: _WithParent = False,
) -> None:
    """Serve a seeded, simulated market."""
    _run(
        MarketOptions(
            seed=seed,
            live_activity=live_activity,
            regions=_names(regions),
            instance_types=_names(types),
            zones=_names(zones),
            port=port,
            state=state,
            with_parent=with_parent,
        )
    )


@app.command()
def replay(
    file: Path,
    end: Annotated[str | None, typer.Option(help="date in the file that is mapped to now, YYYY-MM-DD")] = None,
    on_demand: Annotated[Path | None, typer.Option(help="CSV of on-demand prices")] = None,
    port: _Port = 0,
    state: _State = None,
    with_parent: _WithParent = False,
) -> None:
    """Serve real history, shifted by whole weeks."""
    try:
        until = None if end is None else datetime.fromisoformat(end).replace(tzinfo=UTC)
    except ValueError as error:
        raise typer.BadParameter(f"not a date: {end!r}", param_hint="--end") from error
    _run(MarketOptions(replay=file, end=until, on_demand=on_demand, port=port, state=state, with_parent=with_parent))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _run(options: MarketOptions) -> None:
    try:
        run(options)
    except (MarketServerError, PriceFileInvalid) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
