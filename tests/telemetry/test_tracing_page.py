"""docs/tracing.md is true: its configurations load, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from gateway.config.load import load
from gateway.observe.exported import ExportDropped
from gateway.telemetry.instruments import MOST
from gateway.telemetry.sender import TRIES
from gateway.telemetry.standing import METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "tracing.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_loads(example: str, tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "default.yaml").write_text("name: default\n")
    rest = {
        "policies": "policies",
        "events": {"path": "events.jsonl"},
        "upstreams": [{"name": "up", "kind": "openai", "base_url": "http://up/v1"}],
        "routes": [{"model": "m", "upstreams": ["up"]}],
    }
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({**rest, **yaml.safe_load(example)}))
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", example), "k3y")
    assert load(file, environ).gateway.export


def test_the_reasons_and_metrics_it_names_are_those_there_are() -> None:
    said = ExportDropped.model_fields["reason"].description or ""
    reasons = re.findall(r"^\| `(\w+)` \|", PAGE.partition("| reason |")[2].partition("\n\n")[0], re.MULTILINE)
    assert set(reasons) == {"refused", "rejected", "late", "behind", "gone", "unread"}
    assert all(f"`{reason}`" in said for reason in reasons)
    assert set(re.findall(r"tidegate_export_\w+", PAGE)) <= {*METRICS}
    assert (f"{MOST:,} sets" in PAGE, TRIES) == (True, 6)
