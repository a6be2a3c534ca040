"""The page on features has a line for each, with the registry's own words."""

from pathlib import Path

from gapfill.features.registry import FEATURES

PAGE = Path(__file__).parents[3] / "docs" / "features.md"


def test_every_feature_has_its_line() -> None:
    lines = {line.split("|")[1].strip(): line for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    assert set(lines) == {f"`{feature.name}`" for feature in FEATURES}
    for feature in FEATURES:
        line = lines[f"`{feature.name}`"]
        assert all(words in line for words in (feature.unit, feature.sentence, feature.null_policy)), feature.name
