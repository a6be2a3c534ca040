"""Small engine files as authors would upload them, good and bad, for tests."""

from engines.source import EngineSource, inspect

HEAD = '''"""An engine for a test."""

from pydantic import BaseModel, Field

from engines.contract import DecisionInput, DecisionOutput, hold_everything


class Engine:
    name = "tested"
    version = "1"
    description = "Holds everything, and something more."

    class Config(BaseModel):
        depth: int = Field(default=3, ge=1, description="How deep (count)")

    def decide(self, given: DecisionInput) -> DecisionOutput:
'''
HOLDS = "return hold_everything(given)"


def engine_file(*body: str, before: str = "") -> bytes:
    """The file of an engine whose `decide` consists of `body`, lines; `before` stands above the imports."""
    lines = "".join(f"        {line}\n" for line in (body or (HOLDS,)))
    return (before + HEAD + lines).encode()


def engine_source(*body: str, before: str = "") -> EngineSource:
    """The same, as it has passed the look at its text."""
    return inspect(engine_file(*body, before=before))
