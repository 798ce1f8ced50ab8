"""`export:` in the gateway's file: what is taken, what is refused, and that processes can be told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.export import named
from gateway.config.load import load
from gateway.config.schema import Config
from gateway.errors import ConfigError
from gateway.serve import exporting

ALL = """
  - otlp: {endpoint: "http://collector:4318", headers: {x-key: "${KEY}"}, signals: [traces], resource: {team: shop}}
  - langsmith: {api_key: "${KEY}", session_id: 0af76519-16cd-43dd-8448-eb211c80319c}
  - langfuse: {public_key: pk, secret_key: "${KEY}"}
  - phoenix: {}
  - mlflow: {token: "${KEY}"}
  - weave: {api_key: "${KEY}", entity: team, project: shop}
  - wandb: {project: shop}
"""


def config(folder: Path, exports: str, events: str = "{path: events.jsonl}") -> Config:
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "default.yaml").write_text("name: default\n")
    file = folder / "gateway.yaml"
    file.write_text(
        f"policies: policies\nevents: {events}\nscoring: null\n"
        "upstreams: [{name: up, kind: openai, base_url: 'http://up/v1'}]\n"
        f"routes: [{{model: m, upstreams: [up]}}]\nexport:{exports}"
    )
    return load(file, {"KEY": "s3cret"})


def refused(folder: Path, exports: str, events: str = "{path: events.jsonl}") -> str:
    with pytest.raises(ConfigError) as found:
        config(folder, exports, events)
    return str(found.value)


def test_every_kind_is_taken_and_an_http_process_can_be_told_of_it(tmp_path: Path) -> None:
    found = config(tmp_path, ALL)
    kinds = ["otlp", "langsmith", "langfuse", "phoenix", "mlflow", "weave", "wandb"]
    assert [named(export) for export in found.gateway.export] == kinds
    told = found.model_dump_json()
    assert [export.kind for export in Config.model_validate_json(told).gateway.export] == kinds
    assert "s3cret" not in told


def test_keys_go_to_the_workers_and_places_beside_the_file(tmp_path: Path) -> None:
    specs = exporting.specs(config(tmp_path, ALL))
    assert [one["name"] for one in specs["export"]["destinations"]] == [
        "otlp",
        "langsmith",
        "langfuse",
        "phoenix",
        "mlflow",
        "weave",
    ]
    first = specs["export"]["destinations"][0]
    assert first["headers"] == {"x-key": "s3cret"}
    assert first["urls"] == {"traces": "http://collector:4318/v1/traces"}
    assert first["state"] == str((tmp_path / "../var/export").resolve())
    assert first["upstreams"]["up"] == {"provider": "openai", "address": "up", "port": 80}
    (run,) = specs["wandb"]["destinations"]
    assert (run["mode"], run["dir"]) == ("offline", str((tmp_path / "../var/wandb").resolve()))


def test_a_gateway_that_exports_nothing_needs_no_worker(tmp_path: Path) -> None:
    assert exporting.specs(config(tmp_path, " []\n")) == {}


@pytest.mark.parametrize(
    ("exports", "said"),
    [
        ("\n  - otlp: {endpont: 'http://c:4318'}\n", "unknown key; did you mean 'endpoint'?"),
        ("\n  - langsmit: {api_key: k}\n", "did you mean 'langsmith'?"),
        ("\n  - phoenix\n", "should be a mapping"),
        ("\n  - langfuse: {public_key: pk}\n", "secret_key: is missing"),
        ("\n  - otlp: {semconv: old}\n", "one of: current, legacy, next"),
        ("\n  - otlp: {}\n  - otlp: {}\n", "another destination is called 'otlp'"),
        ('\n  - otlp: {headers: {x: "a\\nb"}}\n', "one line"),
    ],
)
def test_what_is_wrong_is_told_by_its_place(tmp_path: Path, exports: str, said: str) -> None:
    assert said in refused(tmp_path, exports)


def test_what_is_sent_is_read_from_a_file(tmp_path: Path) -> None:
    assert "has to be a file" in refused(tmp_path, "\n  - otlp: {}\n", '{path: "-"}')
