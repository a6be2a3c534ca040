"""An offline pipeline as a user of the server has one: pulls history, trains two models, writes what to upload.

    python -m examples.train_sample_models --out DIR --until YYYY-MM-DD
        [--regions us-east-1,…] [--instance-types m5.large,…] [--interruptions-url http://127.0.0.1:PORT]

Writes `spot-price.pkl` and, where interruptions are known, `spot-interruption.pkl`, each with a `.metadata.json` for
the upload. It knows data to the end of the day `--until`, as the server understands `trained_until_date`.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import joblib

from examples.market_data import MarketData, pull
from examples.sample_training import Fitted, build_rows, fit_interruption, fit_price

HISTORY_DAYS = 62
# Interruptions and price changes are rare: the models also learn from the sizes beside the ones asked for.
_SIZES = ("large", "xlarge", "2xlarge", "4xlarge")
_KEPT_DAYS = 90  # by AWS


def related(instance_types: Sequence[str]) -> tuple[str, ...]:
    """The types and, of the same families, the sizes `large` to `4xlarge`."""
    families = {name.partition(".")[0] for name in instance_types}
    return tuple(sorted({*instance_types, *(f"{family}.{size}" for family in families for size in _SIZES)}))


def train(data: MarketData) -> list[Fitted]:
    """The models that the data allow."""
    rows = build_rows(data, every_hours=5)  # which meets every hour of the day
    return [one for one in (fit_interruption(rows), fit_price(rows)) if one is not None]


def write(fitted: Fitted, out: Path) -> Path:
    """Write the estimator and its metadata into `out`; the path of the model file."""
    path = out / f"{fitted.task.replace('_', '-')}.pkl"
    joblib.dump(fitted.estimator, path, compress=3)
    path.with_suffix(".metadata.json").write_text(json.dumps(fitted.metadata(), indent=1))
    return path


def main(arguments: Sequence[str] | None = None, now: datetime | None = None) -> int:
    """Run the pipeline at `now`; 0, or 1 when there was no history to learn from."""
    asked = _arguments(arguments)
    begun = time.perf_counter()
    end = datetime.combine(asked.until + timedelta(days=1), datetime.min.time(), UTC)
    start = max(end - timedelta(days=HISTORY_DAYS), (now or datetime.now(UTC)) - timedelta(days=_KEPT_DAYS))
    data = pull(asked.regions, related(asked.instance_types), start, end, asked.interruptions_url)
    known = 0 if data.interruptions is None else data.interruptions.height
    print(
        f"{data.points.height:,} price points of {data.points['pool_id'].n_unique()} pools and {known:,} interruptions "
        f"in {time.perf_counter() - begun:.1f} s",
        flush=True,
    )
    if data.points.is_empty():
        print("no price history there and then: nothing to train on", file=sys.stderr)
        return 1
    asked.out.mkdir(parents=True, exist_ok=True)
    for fitted in train(data):
        path = write(fitted, asked.out)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in fitted.metrics.items())
        print(f"{path.name}: {figures} ({time.perf_counter() - begun:.1f} s)", flush=True)
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    def names(text: str) -> tuple[str, ...]:
        return tuple(name.strip() for name in text.split(",") if name.strip())

    parser = argparse.ArgumentParser(description="Train the two sample models from the market's history.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model files")
    parser.add_argument("--until", type=date.fromisoformat, required=True, help="last day of training data, UTC")
    parser.add_argument("--regions", type=names, default=("us-east-1", "us-west-2", "eu-west-1"))
    parser.add_argument("--instance-types", type=names, default=("m5.large", "m5.xlarge", "c5.large"))
    parser.add_argument("--interruptions-url", help="address of a market that tells interruptions")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
