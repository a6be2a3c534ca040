"""The first start on a simulated market: two models trained elsewhere, two clusters, and a gap to fill."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import httpx

from examples.clusters import sample_clusters
from services.api.asking import PREFIX
from services.errors import Unavailable
from services.keys import Keys
from services.launch.interruptions import MarketEvents, skills, tell_past
from services.models.shelf import Shelf
from services.settings import Settings
from services.store.opening import open_store

GAP_DAYS = 28
TRAINING_PATIENCE_S = 120.0
BACKTEST_LOOKS = 20


class Demo:
    """Sets up what a user would set up, through the API; a data directory that has models is left as it is."""

    def __init__(
        self, settings: Settings, market: str, env: dict[str, str], logs: Path, say: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._market = market
        self._env = env
        self._logs = logs
        self._say = say
        self._out = settings.data_dir / "sample_models"
        self._until = (datetime.now(UTC) - timedelta(days=GAP_DAYS)).date()
        self._training: subprocess.Popen[bytes] | None = None

    def start_training(self) -> None:
        """Train the sample models in a process of its own, as their author would, elsewhere."""
        if Shelf(self._settings.model_dir).list():
            return
        self._out.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "examples.train_sample_models", "--out", str(self._out)]
        command += ["--until", self._until.isoformat(), "--interruptions-url", self._market]
        command += ["--regions", ",".join(self._settings.gap_filler_regions)]
        command += ["--instance-types", ",".join(self._settings.gap_filler_instance_types)]
        with (self._logs / "training.log").open("ab") as output:
            self._training = subprocess.Popen(
                command, env=self._env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self._say(f"Training two sample models offline, on prices until {self._until} ({GAP_DAYS} days ago).")

    def set_up(self, stop: threading.Event) -> None:
        """Upload, activate, register clusters; then follow the fill and the first live predictions."""
        if self._training is None:
            return
        if self._training.wait(TRAINING_PATIENCE_S) != 0:
            raise Unavailable("sample models", f"training failed; {self._logs / 'training.log'} says why")
        store = open_store(self._settings)
        keys = Keys(store)
        key, token = keys.create("first start", "operator")
        try:
            headers = {"Authorization": f"Bearer {token}"}
            url = self._settings.local_url + PREFIX
            with httpx.Client(base_url=url, headers=headers, timeout=60.0, trust_env=False) as api:
                for model in sorted(self._out.glob("*.pkl")):
                    self._upload(api, model)
                self._tell_past(api)
                for cluster_id, state in sample_clusters(datetime.now(UTC)).items():
                    _checked(api.put(f"/clusters/{cluster_id}", json=state))
                    self._say(f"Registered the sample cluster {cluster_id} ({len(state['nodes'])} nodes).")
                self._follow_fill(api, stop)
                self._tell_backtest(api, stop)
                self._await_live(api, stop)
        finally:
            keys.revoke(key.key_id)
            store.close()

    def _tell_past(self, api: httpx.Client) -> None:
        """What the clusters held and lost over the gap, so that its predictions can be judged."""
        start = datetime.combine(self._until + timedelta(days=1), time.min, UTC)
        lost, hours = tell_past(api, MarketEvents(self._market), start, datetime.now(UTC))
        self._say(f"Told the ledger {hours / 24:.0f} node days of the sample clusters' past: {lost} interruptions.")

    def _tell_backtest(self, api: httpx.Client, stop: threading.Event) -> None:
        """How good the models were over the gap, as soon as the ledger has their past; some seconds at most."""
        for _ in range(BACKTEST_LOOKS):
            asked: dict[str, str | int] = {"origin": "backtest", "group_by": "model_id", "hours": 24 * (GAP_DAYS + 1)}
            groups = _checked(api.get("/accuracy", params=asked)).json()["groups"]
            if groups and all(group["known"] for group in groups):
                self._say(f"Skill over the naive forecast in the gap: {skills(groups)} (simulated).")
                return
            if stop.wait(0.5):
                return

    def _upload(self, api: httpx.Client, model: Path) -> None:
        with model.open("rb") as file:
            answer = _checked(
                api.post(
                    "/models/upload",
                    files={"file": (model.name, file)},
                    data={
                        "model_name": model.stem,
                        "version": "v1",
                        "trained_until_date": self._until.isoformat(),
                        "metadata": model.with_suffix(".metadata.json").read_text(),
                    },
                )
            )
        model_id = answer.json()["model_id"]
        _checked(api.post("/models/activate", json={"model_id": model_id}))
        self._say(f"Uploaded and activated {model_id} (knows prices until {self._until}).")

    def _follow_fill(self, api: httpx.Client, stop: threading.Event) -> None:
        told = -1.0
        while not stop.is_set():
            jobs = _checked(api.get("/gap-filler/history")).json()
            unfinished = [job for job in jobs if job["status"] == "in_progress"]
            if jobs and not unfinished:
                filled = sum(job["records_filled"] for job in jobs)
                made = sum(job["predictions_made"] for job in jobs)
                failed = [job["task_id"] for job in jobs if job["status"] == "failed"]
                self._say(f"Gap filled: {filled} price records, {made} predictions over {GAP_DAYS} days.")
                if failed:
                    self._say(f"Not all of it: {', '.join(failed)} failed; GET gap-filler/status says why.")
                return
            percent = min((job["percent_complete"] for job in unfinished), default=0.0)
            if percent >= told + 20 or told < 0:
                told = percent
                self._say(f"Filling the gap: {percent:.0f} %")
            stop.wait(0.3)

    def _await_live(self, api: httpx.Client, stop: threading.Event) -> None:
        """The first predictions that a tick made with the active model, and the first decisions."""
        while not stop.is_set():
            answer = api.get("/predictions/latest")
            live = answer.json() if answer.status_code == 200 else {}
            decided = _checked(api.get("/decisions/latest")).json()["decisions"]
            told = len(decided) == len(sample_clusters(datetime.now(UTC)))
            if live.get("models", {}).get("spot_interruption") and told:
                self._tell(live, decided)
                return
            stop.wait(0.3)

    def _tell(self, live: dict[str, object], decided: list[dict[str, object]]) -> None:
        rows = live["predictions"]
        assert isinstance(rows, list)
        self._say(f"Live: {len(rows)} pools predicted as of {live['as_of']} (SIMULATED MARKET).")
        for row in decided:
            decision = json.loads(json.dumps(row["decision"]))
            types = [action["type"] for action in decision["recommendations"]]
            counts = ", ".join(f"{types.count(name)} {name}" for name in dict.fromkeys(types))
            saved = decision["estimated_savings"]["p50"]
            self._say(f"Decided for {decision['cluster_id']}: {counts}; saves about ${saved:.3f}/h (simulated).")


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise Unavailable(
            "first start", f"{answer.request.url.path} answered {answer.status_code}: {answer.text[:500]}"
        )
    return answer
