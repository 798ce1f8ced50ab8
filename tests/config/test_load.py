"""Loading: one frozen configuration, or every problem with its file, its line and a hint."""

# ruff: noqa: E501  # a case is one line, however long
from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.config.load import Listen, load
from gateway.config.schema import Config, EmbeddedSpec, OpenAISpec
from gateway.errors import ConfigError
from gateway.policy.rails import RAILS

GATEWAY = """\
server: {host: 127.0.0.1, port: 8080}
policies: ../policies
events: {path: ../var/events.jsonl}
keys:
  - name: app
    sha256: "%s"
    policy: support
upstreams:
  - {name: local, kind: embedded}
  - name: openai
    kind: openai
    base_url: "https://api.openai.com/v1"
    api_key: "${OPENAI_API_KEY:-none}"
routes:
  - model: default
    upstreams: [local]
    policy: default
  - model: gpt
    upstreams: [openai, local]
    policy: support
""" % ("0a" * 32)
DEFAULT = "name: default\n"
SUPPORT = """\
name: support
input:
  - pattern: {name: secrets, deny: ['sk-\\w+']}
  - nemo: {config: nemo/jailbreak}
output:
  - guardrails:
      spec: guards/topics.yaml
"""


class Folder:
    """A configuration on disk. Lines are changed by what they begin with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("config/gateway.yaml", GATEWAY)
        self.write("policies/default.yaml", DEFAULT)
        self.write("policies/support.yaml", SUPPORT)
        self.write("policies/nemo/jailbreak/config.yml", "models: []\n")
        self.write("policies/guards/topics.yaml", "validators: []\n")

    def write(self, name: str, text: str | bytes) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
        self.write(name, text.replace(old, new))

    def load(self, environ: Mapping[str, str] | None = None, listen: Listen | None = None) -> Config:
        return load(Path("config/gateway.yaml"), environ or {}, listen)

    def problems(self, environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as refused:
            self.load(environ)
        return [str(problem) for problem in refused.value.problems]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path)


def test_a_whole_configuration_is_frozen_types(folder: Folder) -> None:
    config = folder.load({"OPENAI_API_KEY": "sk-1"})
    openai = config.gateway.upstreams[1]
    assert isinstance(openai, OpenAISpec)
    assert openai.api_key is not None
    assert openai.api_key.get_secret_value() == "sk-1"
    assert "sk-1" not in repr(config)
    assert [rail.kind for rail in config.policies["support"].input] == ["pattern", "nemo"]
    with pytest.raises(ValidationError):
        config.gateway.server.port = 1


def test_paths_are_relative_to_the_file_that_names_them(folder: Folder) -> None:
    folder.write("models/tiny.gguf", b"GGUF")
    folder.change("config/gateway.yaml", "kind: embedded}", "kind: embedded, model: ../models/tiny.gguf}")
    config = folder.load()
    assert config.folder == Path("policies")
    assert config.gateway.events.path == str(folder.root / "var/events.jsonl")
    local = config.gateway.upstreams[0]
    assert isinstance(local, EmbeddedSpec)
    assert local.model == str(folder.root / "models/tiny.gguf")


def test_names_of_models_and_standard_output_are_not_paths(folder: Folder) -> None:
    folder.change("config/gateway.yaml", "../var/events.jsonl", "'-'")
    config = folder.load()
    assert config.gateway.events.path == "-"
    assert config.gateway.scoring is not None
    assert config.gateway.scoring.encoder == "minilm"


def test_only_yaml_files_directly_in_the_folder_are_policies(folder: Folder) -> None:
    folder.write("policies/tests/cases.yaml", "not: a policy\n")
    folder.write("policies/README.md", "words\n")
    assert set(folder.load().policies) == {"default", "support"}


Case = tuple[str, str, str, str]
GATEWAY_CASES: list[Case] = [
    ("policy: support\n" + "upstreams", "policy: support-bto\nupstreams", ":7: keys[0].policy", "no policy named 'support-bto'; did you mean 'support'?"),
    ("policy: default", "policy: defualt", ":17: routes[0].policy", "no policy named 'defualt'; did you mean 'default'?"),
    ("[local]", "[lokal]", ":16: routes[0].upstreams[0]", "no upstream named 'lokal'; did you mean 'local'?"),
    ("[openai, local]", "[zzz]", ":19: routes[1].upstreams[0]", "no upstream named 'zzz' (there are: local, openai)"),
    ("[openai, local]", "[local, local]", ":19: routes[1].upstreams[1]", "stands twice in this list"),
    ("[openai, local]", "[]", ":19: routes[1].upstreams", "should not be empty"),
    ("[openai, local]", "local", ":19: routes[1].upstreams", "should be a list"),
    ("model: gpt", "model: default", ":18: routes[1].model", "the same stands on line 15"),
    ("model: gpt", "modle: gpt", ":18: routes[1].modle", "unknown key; did you mean 'model'? (allowed: aliases, balance, cache, deadline_s, fallback_on, mirror, model, policy, retries, split, sticky, upstreams)"),
    ("model: gpt", "model: ' gpt'", ":18: routes[1].model", "should be a model's name, letters, digits and . _ / : @ -, with * for any part of it; 128 at most"),
    ("port: 8080", "port: '8080'", ":1: server.port", "should be a whole number"),
    ("port: 8080", "port: 80800", ":1: server.port", "should be at most 65535"),
    ("port: 8080", "port: -1", ":1: server.port", "should be at least 0"),
    ("port: 8080", "port: true", ":1: server.port", "should be a whole number"),
    ("port: 8080", "drain_s: 0", ":1: server.drain_s", "should be greater than 0"),
    ("server: {host: 127.0.0.1, port: 8080}", "server: 3", ":1: server", "should be a mapping of keys to values"),
    ("kind: openai", "kind: opnai", ":11: upstreams[1].kind", "'opnai' is not known; did you mean 'openai'? (one of: embedded, litellm, openai)"),
    ("    kind: openai\n", "", ":10: upstreams[1]", "kind is missing (embedded, openai, litellm)"),
    ("https://api.openai.com/v1", "api.openai.com", ":12: upstreams[1].base_url", "should begin with http:// or https://"),
    ("kind: embedded}", "kind: embedded, modl: x}", ":9: upstreams[0].modl", "unknown key; did you mean 'model'? (allowed: breaker, context, gpu_usd_per_hour, kind, load, model, name, parallel, pooling, price, sha256, timeouts)"),
    ("kind: embedded}", "kind: embedded, model: ../models/x.gguf}", ":9: upstreams[0].model", "no models/x.gguf"),
    ("name: openai", "name: local", ":10: upstreams[1].name", "the same stands on line 9"),
    ("0a" * 32, "ABC", ":6: keys[0].sha256", "should be a SHA-256 digest: 64 hexadecimal digits in lower case"),
    ("policies: ../policies", "policies: ../absent", ":2: policies", "no folder absent"),
    ("${OPENAI_API_KEY:-none}", "${OPENAI_API_KEY}", ":13: upstreams[1].api_key", "environment variable OPENAI_API_KEY is not set; set it, or write ${OPENAI_API_KEY:-default}"),
    ("${OPENAI_API_KEY:-none}", "${OPENAI KEY}", ":13: upstreams[1].api_key", "after `${` comes NAME} or NAME:-default}; write `$${` for the characters themselves"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "words"), GATEWAY_CASES)
def test_a_problem_names_file_line_place_and_remedy(folder: Folder, old: str, new: str, place: str, words: str) -> None:
    folder.change("config/gateway.yaml", old, new)
    assert f"config/gateway.yaml{place}: {words}" in folder.problems()


POLICY_CASES: list[Case] = [
    ("name: support", "nam: support", ":1: name", "is missing"),
    ("name: support", "name: support\nmode: shdow", ":2: mode", "'shdow' is not known; did you mean 'shadow'? (one of: enforce, shadow)"),
    ("name: support", "name: support\nrefusal: {status: 200}", ":2: refusal.status", "should be at least 400"),
    ("name: support", "name: support\nrefusal: {text: no}", ":2: refusal.text", "unknown key (allowed: message, status)"),
    ("nemo/jailbreak}", "nemo/jailbreak, action: redact}\noverlap: true", ":4: input[1].nemo", "`overlap: true` sends a request while a nemo rail still judges it, and then nothing can be taken out of it; let the rail flag or block, or leave `overlap` out"),
    ("  - nemo: {config: nemo/jailbreak}", "  - pii: {}\noverlap: true", ":4: input[1].pii", "`overlap: true` sends a request while a pii rail still judges it, and then nothing can be taken out of it; let the rail flag or block, or leave `overlap` out"),
    ("name: support", "name: default", ":1: name", "policies/default.yaml:1 has this name already"),
    ("  - pattern:", "  - patern:", ":3: input[0]", f"'patern' is not known; did you mean 'pattern'? (one of: {', '.join(sorted(RAILS))})"),
    ("  - nemo: {config: nemo/jailbreak}", "  - nemo:", ":4: input[1]", "a rail is one key with its settings below it, such as `- pattern: {deny: ['…']}`"),
    ("nemo/jailbreak}", "nemo/jailbrake}", ":4: input[1].nemo.config", "no folder policies/nemo/jailbrake; did you mean 'jailbreak'?"),
    ("nemo/jailbreak}", "nemo}", ":4: input[1].nemo.config", "no config.yml in policies/nemo"),
    ("nemo/jailbreak}", "../config}", ":4: input[1].nemo.config", "should lie below policies"),
    ("nemo/jailbreak}", "nemo/jailbreak, action: blok}", ":4: input[1].nemo.action", "'blok' is not known; did you mean 'block'? (one of: block, flag, redact)"),
    ("guards/topics.yaml", "guards/topic.yaml", ":7: output[0].guardrails.spec", "no file policies/guards/topic.yaml; did you mean 'topics.yaml'?"),
    ("guards/topics.yaml", "/etc/passwd", ":7: output[0].guardrails.spec", "should lie below policies"),
    ("'sk-\\w+'", "'sk-(\\w+'", ":3: input[0].pattern.deny[0]", "not an expression of RE2: missing ): sk-(\\w+"),
    ("'sk-\\w+'", "'(?=x)'", ":3: input[0].pattern.deny[0]", "not an expression of RE2: invalid perl operator: (?="),
    ("deny: ['sk-\\w+']", "ignore_case: true", ":3: input[0].pattern", "denies nothing: give it `deny` or `builtin`"),
    ("{config: nemo/jailbreak}", "{config: nemo/jailbreak, deadline_ms: 0}", ":4: input[1].nemo.deadline_ms", "should be greater than 0"),
    ("  - nemo: {config: nemo/jailbreak}", "  - score: {metric: relevance, below: 0.1}", ":4: input[1].score", "relevance is a score of answers: it stands under output"),
    ("  - nemo: {config: nemo/jailbreak}", "  - {kind: pattern, dny: [x]}", ":4: input[1].dny", "unknown key; did you mean 'deny'? (allowed: action, builtin, deadline_ms, deny, ignore_case, name, on_error)"),
    ("  - nemo: {config: nemo/jailbreak}", "  - pattern: {kind: nemo, config: nemo/jailbreak}", ":4: input[1]", "a rail is one key with its settings below it, such as `- pattern: {deny: ['…']}`"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "words"), POLICY_CASES)
def test_a_problem_of_a_policy_is_told_the_same_way(folder: Folder, old: str, new: str, place: str, words: str) -> None:
    folder.change("policies/support.yaml", old, new)
    assert f"policies/support.yaml{place}: {words}" in folder.problems()


def test_all_problems_of_all_files_are_told_at_once_in_order(folder: Folder) -> None:
    folder.change("config/gateway.yaml", "port: 8080", "prt: 1")
    folder.change("config/gateway.yaml", "[local]", "[lokal]")
    folder.change("policies/support.yaml", "nemo/jailbreak}", "nemo/x}")
    folder.write("policies/default.yaml", b"\xff")
    found = [problem.split(": ")[0] for problem in folder.problems()]
    assert found == [
        "config/gateway.yaml:1",
        "config/gateway.yaml:16",
        "policies/default.yaml:1",
        "policies/support.yaml:4",
    ]


def test_a_policy_that_cannot_be_read_does_not_blame_its_routes(folder: Folder) -> None:
    folder.write("policies/support.yaml", "name: [")
    assert len(folder.problems()) == 1


def test_a_policy_with_the_wrong_ending_is_not_overlooked(folder: Folder) -> None:
    folder.write("policies/extra.yml", "name: extra\n")
    assert (
        "config/gateway.yaml:2: policies: policies/extra.yml is not read as a policy; name it extra.yaml"
        in folder.problems()
    )


def test_a_score_needs_a_scorer(folder: Folder) -> None:
    folder.change("config/gateway.yaml", "policies: ../policies", "policies: ../policies\nscoring: null")
    folder.write("policies/default.yaml", "name: default\noutput:\n  - score: {metric: relevance, below: 0.1}\n")
    assert folder.problems() == ["policies/default.yaml:3: output[0].score: the gateway has no `scoring`"]


def without_keys(text: str) -> str:
    head, _, rest = text.partition("keys:")
    return head + rest[rest.index("upstreams:") :]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "'::1'", "localhost"])
def test_an_open_gateway_may_listen_on_loopback(folder: Folder, host: str) -> None:
    folder.write("config/gateway.yaml", without_keys(GATEWAY).replace("127.0.0.1", host))
    assert folder.load().gateway.keys == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "'::'", "10.0.0.1", "example.com", "''", "localhost.evil.example"])
def test_an_open_gateway_may_listen_nowhere_else(folder: Folder, host: str) -> None:
    folder.write("config/gateway.yaml", without_keys(GATEWAY).replace("127.0.0.1", host))
    (problem,) = folder.problems()
    assert problem.startswith("config/gateway.yaml:1: server.host: without keys")
    folder.write("config/gateway.yaml", GATEWAY.replace("127.0.0.1", host))
    assert folder.load().gateway.keys


def test_the_command_line_is_held_to_the_same_rule(folder: Folder) -> None:
    listen = Listen(host="0.0.0.0", port=9)
    assert folder.load(listen=listen).gateway.server.port == 9
    folder.write("config/gateway.yaml", without_keys(GATEWAY))
    with pytest.raises(ConfigError, match="without keys"):
        folder.load(listen=listen)


def test_a_variable_cannot_change_the_shape_of_the_file(folder: Folder) -> None:
    config = folder.load({"OPENAI_API_KEY": '"}\nkeys: []\n#${HOME}'})
    openai = config.gateway.upstreams[1]
    assert isinstance(openai, OpenAISpec)
    assert openai.api_key is not None
    assert openai.api_key.get_secret_value() == '"}\nkeys: []\n#${HOME}'
    assert len(config.gateway.keys) == 1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${A}", "x"),
        ("${A}-${B:-y}", "x-y"),
        ("${EMPTY:-z}", "z"),
        ("${B:-}", ""),
        ("$${A}", "${A}"),
        ("$A {A} $", "$A {A} $"),
        ("${B:-a:-b}", "a:-b"),
    ],
)
def test_variables_are_put_into_strings(folder: Folder, written: str, meant: str) -> None:
    folder.change("config/gateway.yaml", "${OPENAI_API_KEY:-none}", written)
    openai = folder.load({"A": "x", "EMPTY": ""}).gateway.upstreams[1]
    assert isinstance(openai, OpenAISpec)
    assert openai.api_key is not None
    assert openai.api_key.get_secret_value() == meant


def test_variables_are_not_put_into_policies(folder: Folder) -> None:
    folder.change("policies/support.yaml", "name: support", "name: support\nrefusal: ${HOME}")
    assert folder.load({"HOME": "/root"}).policies["support"].refusal.message == "${HOME}"


@pytest.mark.parametrize(
    "old", ["https://api.openai.com/v1", "model: gpt", "kind: openai", "policy: default", "[local]"]
)
def test_no_problem_quotes_a_variable(folder: Folder, old: str) -> None:
    key, colon, _ = old.rpartition(" ")
    new = '["${SECRET}"]' if old == "[local]" else f'{key}{colon}"${{SECRET}}"' if colon else "${SECRET}"
    folder.change("config/gateway.yaml", old, new)
    (problem, *_) = found = folder.problems({"SECRET": "sk canary"})
    assert "canary" not in "\n".join(found), problem


LINES = GATEWAY.splitlines()
Edit = Callable[[list[str], int], list[str]]
EDITS: list[Edit] = [
    lambda lines, n: lines[:n] + lines[n + 1 :],
    lambda lines, n: [*lines[: n + 1], *lines[n:]],
    lambda lines, n: [*lines[:n], "  " + lines[n], *lines[n + 1 :]],
    lambda lines, n: [*lines[:n], lines[n].partition(":")[0] + ":", *lines[n + 1 :]],
    lambda lines, n: [*lines[:n], lines[n].partition(":")[0] + ": [{kind: {}}]", *lines[n + 1 :]],
    lambda lines, n: [*lines[:n], lines[n].partition(":")[0] + ": 7", *lines[n + 1 :]],
    lambda lines, n: lines[:n],
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(EDITS), st.integers(0, 100)), min_size=1, max_size=3), st.booleans())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    folder: Folder, edits: list[tuple[Edit, int]], policy: bool
) -> None:
    lines = SUPPORT.splitlines() if policy else LINES
    for edit, n in edits:
        lines = edit(lines, n % len(lines)) if lines else lines
    folder.write("config/gateway.yaml", GATEWAY)
    folder.write("policies/support.yaml" if policy else "config/gateway.yaml", "\n".join(lines))
    with suppress(ConfigError):
        assert folder.load().gateway.routes


def test_the_examples_in_this_file_are_whole(folder: Folder) -> None:
    assert dedent(GATEWAY) == GATEWAY
    assert folder.load().gateway.routes[1].policy == "support"
