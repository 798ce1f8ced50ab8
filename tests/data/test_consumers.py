"""Each format in the hands of those who read it: datasets, TRL, OpenAI's types, inspect_ai."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter
from support.kept import exported

pytestmark = pytest.mark.engine

wanted = pytest.mark.skipif(not os.environ.get("CONSUMERS"), reason="imports torch and others: make consumers")

INSPECT = Path.home() / ".cache" / "tidegate-inspect" / "v" / "bin" / "python"

_TRL = """
import sys
from datasets import load_dataset
from trl import is_conversational
from trl.data_utils import apply_chat_template, maybe_extract_prompt, maybe_unpair_preference_dataset
class Template:
    chat_template = "x"
    def apply_chat_template(self, messages, tools=None, tokenize=True, **kw):
        told = "".join(f"<{m['role']}>{m['content']}" for m in messages)
        return told + ("<assistant>" if kw.get("add_generation_prompt") else "")
for form in ("trl-sft", "openai", "trl-dpo", "kto"):
    data = load_dataset("json", data_files=f"{sys.argv[1]}/{form}/train.jsonl", split="train", cache_dir=sys.argv[1])
    assert is_conversational(data[0]), form
    text = data.map(lambda row: apply_chat_template(row, Template()), load_from_cache_file=False)
    if form == "trl-dpo":
        assert all(r["chosen"].startswith("Better") and r["rejected"].startswith("Answer") for r in text), text[0]
        assert {*maybe_unpair_preference_dataset(data).column_names} == {"prompt", "completion", "label"}
    elif form == "kto":
        assert set(text["label"]) == {True, False}
        assert all(r["prompt"].endswith("<assistant>") for r in text)
    else:
        assert all("<assistant>" in r["text"] for r in text), text[0]
for form, column in (("sharegpt", "conversations"), ("openai-dpo", "preferred_output"), ("inspect", "target")):
    data = load_dataset("json", data_files=f"{sys.argv[1]}/{form}/train.jsonl", split="train", cache_dir=sys.argv[1])
    assert column in data.column_names and len(data)
from trl import maybe_convert_to_chatml
data = load_dataset("json", data_files=f"{sys.argv[1]}/sharegpt/train.jsonl", split="train", cache_dir=sys.argv[1])
assert [m["role"] for m in maybe_convert_to_chatml(data[0])["messages"]] == ["human", "gpt"]
"""


@wanted
def test_trl_and_datasets_read_them(kept: Path, tmp_path: Path) -> None:
    if not importlib.util.find_spec("trl"):
        pytest.skip("trl is not installed: tidegate[retrain]")
    for form in ("trl-sft", "openai", "trl-dpo", "kto", "sharegpt", "openai-dpo", "inspect"):
        exported(kept, form, tmp_path / "sets" / form, "--split", "1,0,0")
    _ran(sys.executable, _TRL, tmp_path / "sets")


@wanted
def test_inspect_reads_its_own(kept: Path, tmp_path: Path) -> None:
    if not INSPECT.exists():
        pytest.skip(f"inspect_ai has its own environment, {INSPECT.parent.parent}, which is not there")
    exported(kept, "inspect", tmp_path / "set", "--split", "0,0,1")
    program = """
import sys
from inspect_ai.dataset import json_dataset
data = json_dataset(sys.argv[1] + "/test.jsonl")
assert len(data) == 40
assert data[0].input[0].role == "user" and data[0].target and data[0].metadata["route"] == "m", data[0]
"""
    _ran(str(INSPECT), program, tmp_path / "set")


def test_openai_takes_its_own(kept: Path, tmp_path: Path) -> None:
    """Messages are what the package's types of a request say; the pairs are as its guide to fine-tuning has them."""
    from openai.types.chat import ChatCompletionMessageParam  # noqa: PLC0415  # heavy

    messages = TypeAdapter(list[ChatCompletionMessageParam])
    for one in exported(kept, "openai", tmp_path / "sft"):
        assert set(one) == {"messages"}
        messages.validate_python(one["messages"])
        assert one["messages"][-1]["role"] == "assistant"
    for one in exported(kept, "openai-dpo", tmp_path / "dpo"):
        _pair(one, messages)


def _pair(one: dict[str, Any], messages: TypeAdapter[Any]) -> None:
    assert set(one) == {"input", "preferred_output", "non_preferred_output"}
    messages.validate_python(one["input"]["messages"])
    for side in ("preferred_output", "non_preferred_output"):
        assert [m["role"] for m in one[side]] == ["assistant"]
        messages.validate_python(one[side])
    assert orjson.dumps(one["preferred_output"]) != orjson.dumps(one["non_preferred_output"])


def _ran(python: str, program: str, *words: Path) -> None:
    said = subprocess.run(
        [python, "-c", program, *map(str, words)], capture_output=True, text=True, check=False, timeout=300
    )
    assert said.returncode == 0, said.stderr[-3000:]
