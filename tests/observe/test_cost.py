"""Prices: whose they are, what they are for, and that classes never overlap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.observe.cost import Cost, Prices, Rate, Tariff, Usage

LISTED = {
    "sample_spec": {"input_cost_per_token": "text, not a number"},
    "gpt-x": {
        "litellm_provider": "openai",
        "input_cost_per_token": 2e-6,
        "cache_read_input_token_cost": 5e-7,
        "output_cost_per_token": 8e-6,
    },
    "claude-y-20250929": {
        "litellm_provider": "anthropic",
        "input_cost_per_token": 3e-6,
        "output_cost_per_token": 15e-6,
    },
    "claude-z": {"litellm_provider": "anthropic", "input_cost_per_token": 1e-6, "output_cost_per_token": 5e-6},
    "long": {
        "litellm_provider": "vertex_ai-language-models",
        "input_cost_per_token": 1e-6,
        "input_cost_per_token_above_200k_tokens": 2e-6,
        "output_cost_per_token": 4e-6,
        "output_cost_per_token_above_200k_tokens": 6e-6,
        "output_cost_per_reasoning_token": 9e-6,
    },
    "groq/llama": {"litellm_provider": "groq", "input_cost_per_token": 1e-7, "output_cost_per_token": 1e-7},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prices.json"
    path.write_bytes(orjson.dumps(LISTED))
    return path


@pytest.fixture
def prices(file: Path) -> Prices:
    tariffs = {
        "own-price": Tariff(input=10.0, output=20.0),
        "output-only": Tariff(output=20.0),
        "gpu": Tariff(gpu_usd_per_hour=3.6),
        "local": Tariff(own=True),
    }
    return Prices.load(tariffs, file)


def test_each_class_is_priced_once(prices: Prices) -> None:
    cost = prices.cost(Usage(input=1000, cached=400, output=100, reasoning=30), model="gpt-x")
    assert cost.input == pytest.approx(600 * 2e-6)
    assert cost.cached == pytest.approx(400 * 5e-7)
    assert cost.output == pytest.approx(70 * 8e-6)
    assert cost.reasoning == pytest.approx(30 * 8e-6)
    assert cost.source == "litellm"


@pytest.mark.parametrize(
    ("asked", "listed"),
    [
        ("gpt-x", "gpt-x"),
        ("openai/gpt-x", "gpt-x"),
        ("gpt-x-2024-08-06", "gpt-x"),
        ("openai/gpt-x-2024-08-06", "gpt-x"),
        ("claude-y-20250929", "claude-y-20250929"),
        ("anthropic/claude-y-20250929", "claude-y-20250929"),
        ("claude-z-latest", "claude-z"),
        ("anthropic/claude-z@20250929", "claude-z"),
        ("vertex_ai/long", "long"),
        ("groq/llama", "groq/llama"),
    ],
)
def test_names_are_found_with_provider_and_date(prices: Prices, asked: str, listed: str) -> None:
    assert prices.rate(asked) == prices.rates[listed]


@pytest.mark.parametrize("asked", ["", "/", "llama", "azure/gpt-x", "reseller/anthropic/claude-z", "gpt-x-mini", "gpt"])
def test_a_name_of_somebody_else_has_no_price(prices: Prices, asked: str) -> None:
    assert prices.rate(asked) is None
    assert prices.cost(Usage(input=10, output=10), model=asked) == Cost(source="none")


def test_a_long_request_pays_the_long_price_for_all_of_it(prices: Prices) -> None:
    short = prices.cost(Usage(input=200_000, output=10), model="long")
    long = prices.cost(Usage(input=200_001, output=10), model="long")
    assert short.input == pytest.approx(200_000 * 1e-6)
    assert long.input == pytest.approx(200_001 * 2e-6)
    assert long.output == pytest.approx(10 * 6e-6)


def test_reasoning_has_its_own_price_where_one_is_listed(prices: Prices) -> None:
    cost = prices.cost(Usage(output=10, reasoning=10), model="long")
    assert cost.output == 0
    assert cost.reasoning == pytest.approx(10 * 9e-6)


def test_the_operators_price_is_per_million_and_wins(prices: Prices) -> None:
    cost = prices.cost(Usage(input=1000, cached=500, output=100), model="gpt-x", upstream="own-price")
    assert cost.input == pytest.approx(500 * 10e-6)
    assert cost.cached == pytest.approx(500 * 10e-6)
    assert cost.output == pytest.approx(100 * 20e-6)
    assert cost.source == "config"


def test_classes_the_operator_left_out_are_listed_ones(prices: Prices) -> None:
    cost = prices.cost(Usage(input=1000, output=100), model="gpt-x", upstream="output-only")
    assert cost.input == pytest.approx(1000 * 2e-6)
    assert cost.output == pytest.approx(100 * 20e-6)
    assert cost.source == "config+litellm"


def test_an_own_machine_costs_its_time_and_not_a_namesakes_tokens(prices: Prices) -> None:
    cost = prices.cost(Usage(input=1000, output=100), model="gpt-x", upstream="gpu", busy_s=2.0)
    assert (cost.total, cost.source) == (cost.gpu, "own")
    assert cost.gpu == pytest.approx(0.002)
    assert prices.cost(Usage(input=1000), model="gpt-x", upstream="local", busy_s=2.0) == Cost(source="own")


def test_without_a_price_file_only_tariffs_price(tmp_path: Path) -> None:
    prices = Prices.load({"a": Tariff(input=1.0, output=2.0)}, tmp_path / "absent.json")
    assert prices.rate("gpt-4o-mini") is None
    assert prices.cost(Usage(output=10), model="m", upstream="a").total == pytest.approx(20e-6)


COUNTS = st.integers(min_value=-5, max_value=10**7)
RATES = st.floats(min_value=0, max_value=1e-3)


@given(st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS), st.builds(Rate, RATES, RATES, RATES, RATES))
def test_a_cost_is_never_negative_and_is_the_sum_of_its_classes(usage: Usage, rate: Rate) -> None:
    cost = Prices({"m": rate}, {"m": ""}, {}).cost(usage, model="m")
    inwards = max(usage.input, 0) * max(rate.input, rate.cached)
    outwards = max(usage.output, 0) * max(rate.output, rate.reasoning)
    assert min(cost.input, cost.cached, cost.output, cost.reasoning, cost.gpu) >= 0
    assert cost.total == pytest.approx(cost.input + cost.cached + cost.output + cost.reasoning)
    assert cost.total <= (inwards + outwards) * (1 + 1e-9)


@given(st.text(max_size=40))
def test_any_name_may_be_asked_for(name: str) -> None:
    Prices({"m": Rate()}, {"m": "p"}, {}).rate(name)


def test_names_from_outside_do_not_fill_the_memory(prices: Prices) -> None:
    for n in range(1000):
        prices.rate(f"made-up-{n}")
    assert len(prices._found) <= len(prices.rates) + 1


def test_the_installed_price_file_is_read_without_importing_its_package() -> None:
    code = (
        "import sys; from gateway.observe.cost import Prices, Usage\n"
        "p = Prices.load(); c = p.cost(Usage(input=1000, output=1000), model='openai/gpt-4o-mini')\n"
        "assert 'litellm' not in sys.modules; assert c.source == 'litellm' and 0 < c.total < 0.1, c"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
