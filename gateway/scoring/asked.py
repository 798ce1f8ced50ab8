"""What `POST /v1/score` and `tidegate score` take and give: one shape for both, read into the scorer's items and back.

Either texts, `{"question", "context", "answer" or "answers", "logprobs"}`, or an exchange as OpenAI's API has it,
`{"messages", "response", "documents"}`, whose evidence is what the policy's `context` names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import RequestError
from gateway.record import scored
from gateway.wire import body as json_body
from gateway.wire import chat, logprobs

Json = dict[str, Any]

MOST = 64  # answers of one request
DOCUMENTS = 256  # texts of one context
_FIRST = ("content",)


def items(body: Json, sources: frozenset[str], policy: str = "") -> list[Json]:
    """The scorer's items, one an answer. Raises `RequestError` (400), naming the field.

    `sources` say which messages are evidence, `policy` whose known texts the question is held against.
    """
    if "messages" in body:
        question, context, answers, tokens = _exchange(body, sources)
    else:
        question, context, answers, tokens = _texts(body)
    if len(answers) > MOST:
        raise RequestError(f"No more than {MOST} answers can be scored at once.", param="answers")
    if len(context) > DOCUMENTS:
        raise RequestError(f"No more than {DOCUMENTS} texts of context can be read at once.", param="context")
    return [
        {
            "question": question,
            "context": context,
            "answer": answer,
            "samples": [other for at, other in enumerate(answers) if at != place],
            "tokens": [list(token) for token in tokens] if place == 0 else [],
            "known": policy,
            "verify": True,
            "alone": True,
        }
        for place, answer in enumerate(answers)
    ]


def _texts(body: Json) -> tuple[str, list[str], list[str], list[logprobs.Token]]:
    if ("answer" in body) == ("answers" in body):
        raise RequestError("Send `answer`, a string, or `answers`, a list of them; or `messages` and `response`.")
    answers = [_string(body, "answer")] if "answer" in body else _strings(body, "answers")
    if not answers:
        raise RequestError("'answers' is empty; send at least one.", param="answers")
    context = body.get("context")
    texts = [context] if isinstance(context, str) else _strings(body, "context") if context is not None else []
    question = _string(body, "question") if body.get("question") is not None else ""
    told = {"choices": [{"index": 0, "logprobs": body.get("logprobs")}]}
    return question, texts, answers, logprobs.tokens(told)


def _exchange(body: Json, sources: frozenset[str]) -> tuple[str, list[str], list[str], list[logprobs.Token]]:
    asked = chat.checked({"model": "-", **body})
    question, context = chat.question(asked), chat.context(asked, sources)
    response = body.get("response")
    if isinstance(response, str):
        return question, context, [response], []
    if not isinstance(response, dict):
        raise RequestError("'response' must be an answer's text, or the model's whole answer.", param="response")
    texts = _said(response)
    if not texts:
        raise RequestError("'response' says nothing: it has no choice with a message's content.", param="response")
    return question, context, texts, logprobs.tokens(response)


def _said(response: Json) -> list[str]:
    """What the model says in each choice."""
    try:
        deltas = chat.deltas(response)
    except json_body.Unreadable as error:
        raise RequestError(f"'response' cannot be read: {error}.", param="response") from None
    texts: dict[int, str] = {}
    for delta in deltas:
        if delta.key is not None and delta.key[1] == _FIRST:
            texts[delta.key[0]] = texts.get(delta.key[0], "") + delta.text
    return [texts[index] for index in sorted(texts)]


def _string(body: Json, name: str) -> str:
    value = body[name]
    if not isinstance(value, str):
        raise RequestError(f"'{name}' must be a string, not {json_body.name_of(value)}.", param=name)
    return value


def _strings(body: Json, name: str) -> list[str]:
    value = body[name]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise RequestError(f"'{name}' must be a list of strings.", param=name)
    return value


def answer(items: Sequence[Json], said: Sequence[Mapping[str, Any]]) -> list[Json]:
    """What the scorer `said` of `items`, as it is given to whoever asked: with the texts it is about."""
    return [
        {"index": place, **_told(item, scored(one))} for place, (item, one) in enumerate(zip(items, said, strict=True))
    ]


def _told(item: Json, fields: Json) -> Json:
    extra = {metric: values for metric, values in fields["parts"].items() if metric == "verified"}
    return {
        "scores": fields["scores"],
        "signals": fields["signals"],
        "sentences": [
            {**_sentence(item, sentence), **{part: values[place] for part, values in extra.items()}}
            for place, sentence in enumerate(fields["sentences"])
        ],
    }


def _sentence(item: Json, said: Json) -> Json:
    evidence = None
    if said["evidence"] is not None:
        start, end = said["evidence"]
        text = item["context"][said["source"]][start:end]
        evidence = {"source": said["source"], "start": start, "end": end, "text": text}
    span = {"start": said["start"], "end": said["end"], "text": item["answer"][said["start"] : said["end"]]}
    return {**span, "support": said["support"], "evidence": evidence, "fired": said["fired"]}
