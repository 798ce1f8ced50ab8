"""What the webhook rail and a decision service say to each other, as JSON Schemas; `docs/webhook.md` explains them."""

from __future__ import annotations

from typing import Any

VERSION = 1

REQUEST: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "What Tidegate asks",
    "type": "object",
    "properties": {
        "version": {"const": VERSION},
        "policy": {"type": "string"},
        "rail": {"type": "string"},
        "stage": {"enum": ["input", "output"]},
        "question": {"type": "string"},
        "passages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "role": {"type": "string"},
                    "direction": {"enum": ["input", "output"]},
                    "channel": {"type": "string"},
                    "text": {"type": "string", "minLength": 1},
                },
                "required": ["path", "role", "direction", "channel", "text"],
            },
        },
    },
    "required": ["version", "policy", "rail", "stage", "question", "passages"],
}

_RULE = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"}
_EDIT = {
    "type": "object",
    "properties": {
        "start": {"type": "integer", "minimum": 0},
        "end": {"type": "integer", "minimum": 0},
        "new": {"type": "string"},
    },
    "required": ["start", "end", "new"],
    "additionalProperties": False,
}

ANSWER: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "What a decision service answers",
    "type": "object",
    "properties": {
        "verdicts": {
            "type": "array",
            "items": {
                "oneOf": [
                    {
                        "type": "object",
                        "properties": {"action": {"enum": ["allow", "flag", "block"]}, "rule": _RULE},
                        "required": ["action"],
                        "additionalProperties": False,
                    },
                    {
                        "type": "object",
                        "properties": {
                            "action": {"const": "redact"},
                            "rule": _RULE,
                            "edits": {"type": "array", "minItems": 1, "items": _EDIT},
                        },
                        "required": ["action", "edits"],
                        "additionalProperties": False,
                    },
                    {
                        "type": "object",
                        "properties": {"action": {"const": "redact"}, "rule": _RULE, "text": {"type": "string"}},
                        "required": ["action", "text"],
                        "additionalProperties": False,
                    },
                ]
            },
        }
    },
    "required": ["verdicts"],
    "additionalProperties": False,
}
