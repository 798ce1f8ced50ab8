"""The words of OpenAI's chat API: values that come from a closed set, and the names of its fields.

A string that is such a value in such a place is nobody's text; the same word elsewhere, or another word there, is.
Source: OpenAI's API reference, chat completions.
"""

from __future__ import annotations

from collections.abc import Mapping

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
PARTS = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
SCHEMA_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string", "function", "custom"})

_CALLS = frozenset({"function", "custom"})
_FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})

LABELS: Mapping[tuple[str | int, ...], frozenset[str]] = {
    # in requests
    ("messages", "role"): ROLES,
    ("messages", "content", "type"): PARTS,
    ("messages", "content", "image_url", "detail"): frozenset({"auto", "low", "high"}),
    ("messages", "content", "input_audio", "format"): frozenset({"wav", "mp3"}),
    ("messages", "tool_calls", "type"): _CALLS,
    ("tool_choice",): frozenset({"none", "auto", "required"}),
    ("tool_choice", "type"): _CALLS | {"allowed_tools"},
    ("response_format", "type"): frozenset({"text", "json_object", "json_schema"}),
    ("reasoning_effort",): frozenset({"none", "minimal", "low", "medium", "high", "xhigh"}),
    ("verbosity",): frozenset({"low", "medium", "high"}),
    # in requests and answers
    ("service_tier",): frozenset({"auto", "default", "flex", "scale", "priority"}),
    # in answers
    ("object",): frozenset({"chat.completion", "chat.completion.chunk"}),
    ("choices", "finish_reason"): _FINISHES,
    ("choices", "delta", "role"): ROLES,
    ("choices", "message", "role"): ROLES,
    ("choices", "delta", "tool_calls", "type"): _CALLS,
    ("choices", "message", "tool_calls", "type"): _CALLS,
}
"""Closed sets by the place where their values stand, positions in arrays left out."""

FIELDS = frozenset(
    """
    model messages stream stream_options include_usage include_obfuscation n seed stop temperature top_p max_tokens
    max_completion_tokens frequency_penalty presence_penalty logit_bias logprobs top_logprobs user metadata store
    service_tier reasoning_effort verbosity modalities prediction audio voice response_format tools tool_choice
    parallel_tool_calls functions function_call safety_identifier prompt_cache_key web_search_options
    role content name type text refusal tool_calls tool_call_id function id arguments custom input image_url url detail
    input_audio data format file file_data file_id filename description parameters strict json_schema schema
    grammar definition syntax allowed_tools mode documents top_k min_p repetition_penalty reasoning_content
    $defs $ref $schema additionalProperties allOf anyOf const default definitions enum examples
    exclusiveMaximum exclusiveMinimum items maxItems maxLength maximum minItems minLength minimum multipleOf not
    nullable oneOf pattern patternProperties prefixItems properties propertyNames required title uniqueItems
    """.split()  # noqa: SIM905 - a hundred quoted words would not be read
)
"""Names of fields that are the API's or JSON Schema's."""
