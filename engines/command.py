"""`cloudoptim engine`: for authors, on their own machine: write a starting file, check a file as the server would."""

from pathlib import Path
from typing import Annotated

import typer

from engines.checks import Outcome
from engines.confined_engine import EngineLimits
from engines.errors import EngineFailed, EngineRefused, Problem
from engines.intake import Report, examine
from engines.starting_file import starting_file

app = typer.Typer(no_args_is_help=True, help="Decision engines, for their authors: new, check.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="the engine's name; the file is called after it")],
    folder: Annotated[Path, typer.Option(help="where to write it")] = Path(),
) -> None:
    """Write a starting file that passes every check."""
    path = folder / f"{name.replace('-', '_').replace('.', '_')}.py"
    try:
        text = starting_file(name)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except (ValueError, OSError) as error:
        typer.echo(f"cloudoptim: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{path} is written; check it with: cloudoptim engine check {path}")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="the engine's Python file", exists=True, dir_okay=False)],
    timeout_s: Annotated[float, typer.Option(help="seconds that one answer may take")] = EngineLimits().decide_s,
) -> None:
    """Load an engine in a confined child and run every check, as an upload does; exit code 1 when one fails."""
    try:
        report = examine(file.read_bytes(), file.stem, EngineLimits(decide_s=timeout_s), budget_s=600)
    except EngineRefused as refused:
        for problem in refused.problems:
            typer.echo(_line(file, problem))
        typer.echo(f"{file}: {len(refused.problems)} problem(s); the checks were not run")
        raise typer.Exit(1) from refused
    except EngineFailed as failed:
        typer.echo(f"cloudoptim: {failed.detail}", err=True)
        raise typer.Exit(2) from failed
    _tell(file, report)
    if not report.passed:
        raise typer.Exit(1)


def _tell(file: Path, report: Report) -> None:
    said = report.described
    typer.echo(f"{said.name} {said.version}: {said.description}")
    if said.models:
        typer.echo(f"names the models {', '.join(said.models)}")
    for outcome in report.outcomes:
        typer.echo(_row(outcome))
    for problem in report.problems():
        typer.echo(_line(file, problem))
    good = sum(outcome.passed for outcome in report.outcomes)
    typer.echo(f"{good} of {len(report.outcomes)} checks passed")


def _row(outcome: Outcome) -> str:
    word = "ok  " if outcome.passed else "FAIL"
    took = f"{outcome.seconds:6.2f} s" if outcome.seconds is not None else "       -"
    return f"  {word} {took}  {outcome.check:13}  {outcome.promise}"


def _line(file: Path, problem: Problem) -> str:
    return f"{file}:{problem.line}: {problem.detail}" if problem.line else f"{file}: {problem.detail}"
