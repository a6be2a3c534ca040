"""Which market a start speaks to: AWS as it is configured, or a simulated one of our own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from services.errors import Unavailable
from services.settings import Settings

Choice = Literal["auto", "aws", "simulate"]
ENDPOINTS = ("AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_PRICING", "AWS_ENDPOINT_URL")
SIMULATED_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "simulated",
    "AWS_SECRET_ACCESS_KEY": "simulated",
    "AWS_SESSION_TOKEN": "",
    "AWS_PROFILE": "",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class AwsIdentity:
    """Whose AWS account would be asked."""

    account: str
    arn: str


@dataclass(frozen=True, slots=True)
class SimulatedMarket:
    """A simulator that this start runs, and what processes that use it must have in their environment."""

    process: subprocess.Popen[bytes]
    address: str
    env: dict[str, str]


def is_simulated(choice: Choice, env: Mapping[str, str], confirm: Callable[[AwsIdentity], bool]) -> bool:
    """Whether to simulate. An account that was merely found is used only after `confirm`.

    Raises `Unavailable` for `aws` without credentials, and when the account found is not to be used.
    """
    if choice == "simulate":
        return True
    if choice == "auto" and any(env.get(name) for name in ENDPOINTS):
        return False
    has_credentials = boto3.Session().get_credentials() is not None
    if choice == "aws":
        if not has_credentials and not any(env.get(name) for name in ENDPOINTS):
            raise Unavailable("AWS", "no credentials were found; set AWS_PROFILE, or start with --market simulate")
        return False
    if not has_credentials:
        return True
    identity = _identity()
    if identity is None:
        return True
    if not confirm(identity):
        raise Unavailable("AWS", "not used; start with --market simulate, or with --market aws")
    return False


def _identity() -> AwsIdentity | None:
    try:
        found = boto3.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError):
        return None
    return AwsIdentity(found["Account"], found["Arn"])


def start_simulator(settings: Settings, activity: float, log: Path) -> SimulatedMarket:
    """Run a simulated market as a child of this process, with its state in the data directory."""
    state = settings.data_dir / "market"
    state.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "gapfill.market", "simulate", "--state", str(state)]
    command += ["--live-activity", str(activity), "--with-parent"]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise Unavailable("simulated market", f"it did not start; {log} says why")
    address = json.loads(line)["address"]
    env = {**SIMULATED_CREDENTIALS, "AWS_ENDPOINT_URL_EC2": address, "AWS_ENDPOINT_URL_PRICING": address}
    env["AWS_DEFAULT_REGION"] = settings.gap_filler_aws_region
    return SimulatedMarket(process, address, env)


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with changes; an empty value removes the name."""
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value != "" or name not in changes}
