"""What providers say of their tokens, as they say it, comes to what their price lists say: to the last micro-dollar."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest

from gateway.observe.cost import Prices, Tariff, Usage
from gateway.wire import chat

M = Decimal("1e-6")
LISTED: dict[str, dict[str, Any]] = {
    "gpt-5": {
        "litellm_provider": "openai",
        "input_cost_per_token": 1.25e-6,
        "cache_read_input_token_cost": 1.25e-7,
        "output_cost_per_token": 1e-5,
        "input_cost_per_token_flex": 6.25e-7,
        "cache_read_input_token_cost_flex": 6.25e-8,
        "output_cost_per_token_flex": 5e-6,
        "input_cost_per_token_priority": 2.5e-6,
        "output_cost_per_token_priority": 2e-5,
    },
    "gpt-audio": {
        "litellm_provider": "openai",
        "input_cost_per_token": 2.5e-6,
        "output_cost_per_token": 1e-5,
        "input_cost_per_audio_token": 4e-5,
        "output_cost_per_audio_token": 8e-5,
    },
    "claude": {
        "litellm_provider": "anthropic",
        "input_cost_per_token": 3e-6,
        "cache_read_input_token_cost": 3e-7,
        "cache_creation_input_token_cost": 3.75e-6,
        "cache_creation_input_token_cost_above_1hr": 6e-6,
        "output_cost_per_token": 1.5e-5,
    },
    "gemini": {
        "litellm_provider": "gemini",
        "input_cost_per_token": 1.25e-6,
        "input_cost_per_token_above_200k_tokens": 2.5e-6,
        "cache_read_input_token_cost": 1.25e-7,
        "cache_read_input_token_cost_above_200k_tokens": 2.5e-7,
        "output_cost_per_token": 1e-5,
        "output_cost_per_token_above_200k_tokens": 1.5e-5,
        "input_cost_per_token_priority": 2.25e-6,
        "output_cost_per_token_priority": 1.8e-5,
    },
    "grok": {"litellm_provider": "xai", "input_cost_per_token": 3e-6, "output_cost_per_token": 1.5e-5},
    "deepseek": {
        "litellm_provider": "deepseek",
        "input_cost_per_token": 2.8e-7,
        "cache_read_input_token_cost": 2.8e-8,
        "output_cost_per_token": 4.2e-7,
    },
    "mistral": {"litellm_provider": "mistral", "input_cost_per_token": 4e-7, "output_cost_per_token": 2e-6},
    "sonar": {
        "litellm_provider": "perplexity",
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 1e-6,
        "output_cost_per_reasoning_token": 3e-6,
    },
    "kimi": {
        "litellm_provider": "moonshot",
        "input_cost_per_token": 6e-7,
        "cache_read_input_token_cost": 1.5e-7,
        "output_cost_per_token": 2.5e-6,
    },
    "qwen": {
        "litellm_provider": "dashscope",
        "input_cost_per_token": 4e-7,
        "cache_read_input_token_cost": 8e-8,
        "output_cost_per_token": 1.2e-6,
    },
    "glm": {
        "litellm_provider": "zai",
        "input_cost_per_token": 6e-7,
        "cache_read_input_token_cost": 1.1e-7,
        "output_cost_per_token": 2.2e-6,
    },
    "oss": {"litellm_provider": "together_ai", "input_cost_per_token": 1.5e-7, "output_cost_per_token": 6e-7},
    "fast": {
        "litellm_provider": "fireworks_ai",
        "input_cost_per_token": 9e-7,
        "cache_read_input_token_cost": 4.5e-7,
        "output_cost_per_token": 9e-7,
    },
    "nova": {
        "litellm_provider": "bedrock",
        "input_cost_per_token": 8e-7,
        "cache_read_input_token_cost": 2e-7,
        "output_cost_per_token": 3.2e-6,
    },
    "command": {"litellm_provider": "cohere", "input_cost_per_token": 2.5e-6, "output_cost_per_token": 1e-5},
    "llama": {"litellm_provider": "groq", "input_cost_per_token": 5.9e-7, "output_cost_per_token": 7.9e-7},
}
TARIFFS = {"searching": Tariff(extra={"/server_tool_use/web_search_requests": 0.01, "/num_search_queries": 0.005})}


def usage(prompt: Any, completion: Any, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


def read(cached: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens_details": {"cached_tokens": cached, **more}}


def thought(reasoning: int, **more: int) -> dict[str, Any]:
    return {"completion_tokens_details": {"reasoning_tokens": reasoning, **more}}


SHAPES: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("openai", "gpt-5", "", usage(1000, 100), "1000*1.25 + 100*10"),
    ("openai, total told", "gpt-5", "", usage(1000, 100, total_tokens=1100), "1000*1.25 + 100*10"),
    ("openai, cached", "gpt-5", "", usage(1000, 100, **read(800)), "200*1.25 + 800*0.125 + 100*10"),
    ("openai, all cached", "gpt-5", "", usage(1000, 0, **read(1000)), "1000*0.125"),
    ("openai, reasoning", "gpt-5", "", usage(10, 500, total_tokens=510, **thought(448)), "10*1.25 + 500*10"),
    ("openai, flex", "gpt-5", "flex", usage(1000, 100, **read(400)), "600*0.625 + 400*0.0625 + 100*5"),
    ("openai, priority", "gpt-5", "priority", usage(1000, 100), "1000*2.5 + 100*20"),
    ("openai, default tier", "gpt-5", "default", usage(1000, 100), "1000*1.25 + 100*10"),
    ("openai, a tier nobody knows", "gpt-5", "express", usage(1000, 100), "1000*1.25 + 100*10"),
    ("openai, null details", "gpt-5", "", usage(7, 3, prompt_tokens_details=None), "7*1.25 + 3*10"),
    ("openai, more cached than there was", "gpt-5", "", usage(10, 0, **read(50)), "10*0.125"),
    ("openai, no output said", "gpt-5", "", {"prompt_tokens": 8}, "8*1.25"),
    ("openai, text as a number", "gpt-5", "", usage("12", 4), "4*10"),
    ("openai, by date", "gpt-5-2025-08-07", "", usage(1000, 100), "1000*1.25 + 100*10"),
    (
        "openai, heard",
        "gpt-audio",
        "",
        usage(300, 40, **read(0, audio_tokens=200), **thought(0, audio_tokens=30)),
        "100*2.5 + 200*40 + 10*10 + 30*80",
    ),
    ("openai, only spoken", "gpt-audio", "", usage(5, 90, **thought(0, audio_tokens=90)), "5*2.5 + 90*80"),
    ("azure", "azure/gpt-5", "", usage(100, 10), "0"),
    ("anthropic by litellm", "claude", "", usage(1000, 50, **read(600)), "400*3 + 600*0.3 + 50*15"),
    (
        "anthropic by litellm, written",
        "claude",
        "",
        usage(1000, 50, cache_creation_input_tokens=300, cache_read_input_tokens=200, **read(200)),
        "500*3 + 200*0.3 + 300*3.75 + 50*15",
    ),
    (
        "anthropic by litellm, written for an hour",
        "claude",
        "",
        usage(
            1000, 50, cache_creation_input_tokens=300,
            **read(0, cache_creation_tokens=300, cache_creation_token_details={"ephemeral_1h_input_tokens": 100}),
        ),
        "700*3 + 200*3.75 + 100*6 + 50*15",
    ),
    ("anthropic through a gateway", "anthropic/claude", "", usage(20, 5, **read(0, cache_write_tokens=16)),
     "4*3 + 16*3.75 + 5*15"),
    ("anthropic, cache read at the top", "claude", "", usage(20, 5, cache_read_input_tokens=16), "4*3 + 16*0.3 + 5*15"),
    ("gemini", "gemini", "", usage(200_000, 10), "200000*1.25 + 10*10"),
    ("gemini, long", "gemini", "", usage(200_001, 10), "200001*2.5 + 10*15"),
    ("gemini, long and cached", "gemini", "", usage(300_000, 10, **read(100_000)), "200000*2.5 + 100000*0.25 + 10*15"),
    ("gemini, thoughts only in the total", "gemini", "", usage(10, 20, total_tokens=130), "10*1.25 + 120*10"),
    ("gemini, priority", "gemini/gemini", "priority", usage(10, 20), "10*2.25 + 20*18"),
    ("gemini, named by its provider", "gemini/gemini", "", usage(10, 20), "10*1.25 + 20*10"),
    ("xai, reasoning beside completion", "grok", "", usage(10, 20, total_tokens=130, **thought(100)), "10*3 + 120*15"),
    ("xai, none", "grok", "", usage(10, 20, total_tokens=30, **thought(0)), "10*3 + 20*15"),
    ("deepseek", "deepseek", "", usage(100, 10, prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=36),
     "36*0.28 + 64*0.028 + 10*0.42"),
    ("deepseek, reasoning", "deepseek", "", usage(100, 10, **thought(7)), "100*0.28 + 10*0.42"),
    ("mistral", "mistral", "", usage(9, 9, total_tokens=18), "9*0.4 + 9*2"),
    ("mistral, latest", "mistral/mistral-latest", "", usage(9, 9), "9*0.4 + 9*2"),
    ("perplexity, reasoning priced by itself", "sonar", "", usage(10, 30, **thought(20)), "10*1 + 10*1 + 20*3"),
    ("groq", "llama", "", usage(40, 8, queue_time=0.01, total_time=0.2), "40*0.59 + 8*0.79"),
    ("nothing said", "llama", "", usage(0, 0), "0"),
    ("vllm, null", "llama", "", usage(5, None, prompt_tokens_details=None), "5*0.59"),
    ("llama.cpp", "llama", "", usage(38, 8, **read(0)), "38*0.59 + 8*0.79"),
    ("moonshot, cached at the top", "kimi", "", usage(100, 10, total_tokens=110, cached_tokens=64),
     "36*0.6 + 64*0.15 + 10*2.5"),
    ("moonshot, cached in both places", "kimi", "", usage(100, 10, cached_tokens=64, **read(64)),
     "36*0.6 + 64*0.15 + 10*2.5"),
    ("moonshot, thinking", "kimi", "", usage(100, 300, total_tokens=400), "100*0.6 + 300*2.5"),
    ("dashscope", "qwen", "", usage(50, 5, total_tokens=55, **read(0)), "50*0.4 + 5*1.2"),
    ("dashscope, cached", "qwen", "", usage(2000, 5, total_tokens=2005, **read(1792)), "208*0.4 + 1792*0.08 + 5*1.2"),
    ("dashscope, thinking", "qwen", "", usage(9, 90, total_tokens=99, **thought(80, text_tokens=10)), "9*0.4 + 90*1.2"),
    ("dashscope, written", "qwen", "", usage(2000, 5, **read(0, cache_creation_input_tokens=1792)), "2000*0.4 + 5*1.2"),
    ("zhipu, cached", "zai/glm", "", usage(1200, 300, total_tokens=1500, **read(1000)),
     "200*0.6 + 1000*0.11 + 300*2.2"),
    ("together", "oss", "", usage(70, 7, total_tokens=77, cached_tokens=0), "70*0.15 + 7*0.6"),
    ("together, by its provider", "together_ai/oss", "", usage(70, 7), "70*0.15 + 7*0.6"),
    ("fireworks, cached", "fast", "", usage(64, 8, total_tokens=72, **read(32)), "32*0.9 + 32*0.45 + 8*0.9"),
    ("bedrock by litellm, read", "nova",
     "", usage(600, 60, cache_read_input_tokens=500, cache_creation_input_tokens=0, **read(500)),
     "100*0.8 + 500*0.2 + 60*3.2"),
    ("bedrock, plain", "nova", "", usage(600, 60, total_tokens=660), "600*0.8 + 60*3.2"),
    ("cohere's own words beside", "command", "", usage(30, 20, billed_units={"input_tokens": 30, "output_tokens": 20}),
     "30*2.5 + 20*10"),
    ("openrouter, its own bill beside", "openai/gpt-5", "", usage(
        194, 2, total_tokens=196, cost=0.95, is_byok=False, cost_details={"upstream_inference_cost": 19},
        **read(128, audio_tokens=0), **thought(0),
    ), "66*1.25 + 128*0.125 + 2*10"),
    ("sglang", "llama", "", usage(21, 9, total_tokens=30, prompt_tokens_details=None, reasoning_tokens=0),
     "21*0.59 + 9*0.79"),
    ("vllm, cached told", "llama", "", usage(48, 9, total_tokens=57, **read(32)), "48*0.59 + 9*0.79"),
    ("ollama", "llama", "", usage(26, 298, total_tokens=324), "26*0.59 + 298*0.79"),
    ("tgi, no total", "llama", "", usage(26, 2), "26*0.59 + 2*0.79"),
    ("cerebras, times beside", "llama", "", usage(18, 90, total_tokens=108, **read(0)), "18*0.59 + 90*0.79"),
    ("an embedding", "oss", "", {"prompt_tokens": 8, "total_tokens": 8}, "8*0.15"),
    ("a prediction that was rejected", "gpt-5", "", usage(
        50, 40, **thought(0, accepted_prediction_tokens=10, rejected_prediction_tokens=20)
    ), "50*1.25 + 40*10"),
    ("openai, cached and heard", "gpt-audio", "", usage(100, 0, **read(20, audio_tokens=50)),
     "30*2.5 + 20*2.5 + 50*40"),
    ("azure, filters beside", "gpt-5", "default", usage(11, 6, total_tokens=17, **read(0), **thought(0)),
     "11*1.25 + 6*10"),
    ("a bool is no count", "llama", "", usage(True, 3), "3*0.79"),
    ("a negative is no count", "llama", "", usage(-5, 3), "3*0.79"),
    ("a fraction is no count", "llama", "", usage(5.5, 3), "3*0.79"),
]  # fmt: skip


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Prices:
    file = tmp_path_factory.mktemp("prices") / "prices.json"
    file.write_bytes(orjson.dumps(LISTED))
    return Prices.load(TARIFFS, file)


def told(said: dict[str, Any], tier: str = "") -> Usage:
    counted = chat.usage({"usage": said, "service_tier": tier})
    assert counted is not None
    return Usage(*counted, said=said)


@pytest.mark.parametrize(("model", "tier", "said", "sum_"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES])
def test_a_shape_costs_what_its_price_list_says(
    prices: Prices, model: str, tier: str, said: dict[str, Any], sum_: str
) -> None:
    terms = [[Decimal(factor) for factor in term.split("*")] for term in sum_.replace(" ", "").split("+")]
    by_hand = M * sum((term[0] * (term[1] if len(term) > 1 else 1) for term in terms), Decimal(0))
    cost = prices.cost(told(said, tier), model=model)
    assert Decimal(repr(round(cost.total, 12))) == pytest.approx(by_hand, abs=Decimal("1e-10"))


def test_classes_never_overlap_whatever_is_said(prices: Prices) -> None:
    said = usage(10, 10, **read(9, audio_tokens=9), cache_creation_input_tokens=9, **thought(9, audio_tokens=9))
    cost = prices.cost(told(said), model="gpt-audio")
    assert cost.input == 0
    assert cost.cached == pytest.approx(9 * 2.5e-6)
    assert cost.written == pytest.approx(1 * 2.5e-6)
    assert cost.audio == pytest.approx(1 * 8e-5)


@pytest.mark.parametrize(
    ("more", "usd"),
    [
        ({"server_tool_use": {"web_search_requests": 3}}, 0.03),
        ({"num_search_queries": 2, "server_tool_use": {"web_search_requests": 1}}, 0.02),
        ({"server_tool_use": None}, 0.0),
        ({"server_tool_use": {"web_search_requests": "3"}}, 0.0),
        ({"server_tool_use": {"web_search_requests": -1}}, 0.0),
    ],
)
def test_what_is_priced_beside_tokens_is_found_by_its_pointer(prices: Prices, more: Any, usd: float) -> None:
    cost = prices.cost(told(usage(0, 0, **more)), model="llama", upstream="searching")
    assert cost.extra == pytest.approx(usd)
    assert cost.total == pytest.approx(usd)
