"""What one thing of a configuration says of another: names that must exist, files that must be there, rules across.

Works on values as they were read, so a broken link is found beside a misspelt key, at once.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import re2

from gateway.config.document import Document, Place, mappings
from gateway.config.policy import REQUESTS, one_key
from gateway.config.route_links import check_routes
from gateway.config.there import exists, is_file, is_folder
from gateway.config.wording import listed, near


def check_gateway(gateway: Document, policies: Sequence[Document]) -> None:
    """Upstreams, routes and keys: names stand once, what they refer to exists, and an open gateway stays at home."""
    value = gateway.value
    known = {document.value["name"] for document in policies if _named(document)}
    _unique(gateway, "upstreams", "name")
    routes = _route_names(gateway)
    _unique(gateway, "keys", "name")
    _unique(gateway, "keys", "sha256")
    for n, route in mappings(value.get("routes")):
        _check_policy(gateway, ("routes", n), route.get("policy", "default"), known)
    for n, key in mappings(value.get("keys")):
        if "policy" in key:
            _check_policy(gateway, ("keys", n), key["policy"], known)
        _check_routes(gateway, ("keys", n, "routes"), key.get("routes"), routes)
    check_routes(gateway)
    _check_store(gateway)
    check_open(gateway)
    _check_models(gateway)
    _check_tls(gateway)
    _check_monitor(gateway)
    _check_panel(gateway)
    _check_exports(gateway)
    _check_data(gateway)


def check_names(policies: Sequence[Document]) -> None:
    """No two policies have the same name."""
    first: dict[str, Document] = {}
    for document in filter(_named, policies):
        other = first.setdefault(document.value["name"], document)
        if other is not document:
            document.refuse(("name",), f"{other.file}:{other.line(('name',))} has this name already")


def check_policy(policy: Document, folder: Path, *, scored: bool) -> None:
    """What the rails of one policy refer to is below `folder`; patterns are such as RE2 takes.

    `scored` tells whether there is a scorer.
    """
    _check_overlap(policy)
    for place, kind, rail in _rails(policy):
        match kind:
            case "nemo":
                _check_nemo(policy, (*place, "config"), rail.get("config"), folder)
            case "guardrails":
                _check_spec(policy, (*place, "spec"), rail.get("spec"), folder)
            case "pattern":
                _check_patterns(policy, (*place, "deny"), rail)
            case "score":
                _check_score(policy, place, rail, scored=scored)
            case "schema" | "leakage" if "input" in place:
                policy.refuse(place, f"judges answers: a {kind} rail stands under output")
            case "schema" | "tools":
                _check_schemas(policy, place, rail, folder)
            case "topics" if not scored and (rail.get("deny") or rail.get("allow")):
                policy.refuse(place, "the gateway has no `scoring`")
    known = policy.value.get("known")
    for kind in ("prompts", "attacks") if isinstance(known, dict) else ():
        _check_spec(policy, ("known", kind), known.get(kind), folder)


def _check_overlap(policy: Document) -> None:
    """Of what is sent before it was judged nothing can be taken out any more; only patterns go first."""
    for place, kind, rail in _rails(policy) if policy.value.get("overlap") is True else ():
        redacts = rail.get("action", "redact" if kind == "pii" else "block") == "redact"
        if "input" in place and kind != "pattern" and redacts:
            policy.refuse(
                place,
                f"`overlap: true` sends a request while a {kind} rail still judges it, and then nothing can be taken"
                " out of it; let the rail flag or block, or leave `overlap` out",
            )


def check_open(gateway: Document) -> None:
    """Without keys, only loopback is listened on."""
    server = gateway.value.get("server")
    host = server.get("host", "127.0.0.1") if isinstance(server, dict) else "127.0.0.1"
    if not gateway.value.get("keys") and isinstance(host, str) and not _loopback(host):
        gateway.refuse(
            ("server", "host"),
            "without keys anyone who can reach the gateway may use it, so it listens on loopback only;"
            " add keys, or use 127.0.0.1",
        )


def _named(document: Document) -> bool:
    return isinstance(document.value, dict) and isinstance(document.value.get("name"), str)


def _unique(gateway: Document, section: str, key: str) -> set[str]:
    first: dict[str, int] = {}
    for n, item in mappings(gateway.value.get(section)):
        if isinstance(name := item.get(key), str) and first.setdefault(name, n) != n:
            line = gateway.line((section, first[name], key))
            gateway.refuse((section, n, key), f"the same stands on line {line}")
    return set(first)


def _route_names(gateway: Document) -> set[str]:
    names = (route.get("model") for _, route in mappings(gateway.value.get("routes")))
    return {name for name in names if isinstance(name, str)}


def _check_policy(gateway: Document, place: Place, name: Any, known: set[str]) -> None:
    if isinstance(name, str) and name not in known:
        quoted = name if (*place, "policy") not in gateway.hidden else "…"
        gateway.refuse((*place, "policy"), f"no policy named {quoted!r}{near(quoted, known) or _are(known)}")


def _check_routes(gateway: Document, place: Place, names: Any, known: set[str]) -> None:
    for n, name in enumerate(names if isinstance(names, tuple) else ()):
        if isinstance(name, str) and name not in known:
            quoted = name if (*place, n) not in gateway.hidden else "…"
            gateway.refuse((*place, n), f"no route named {quoted!r}{near(quoted, known) or _are(known)}")


def _check_store(gateway: Document) -> None:
    """A Redis has an address, memory has none. The address may hold a password, so it is never shown."""
    store = gateway.value.get("store")
    if not isinstance(store, dict):
        return
    kind, url = store.get("kind", "memory"), store.get("url")
    if kind == "redis" and find_spec("redis") is None:
        gateway.refuse(("store", "kind"), "the client is not installed: pip install 'tidegate[redis]'")
    if kind == "redis" and url is None:
        gateway.refuse(("store",), "a redis has a url, such as redis://127.0.0.1:6379/0")
    elif kind == "redis" and isinstance(url, str) and not url.startswith(("redis://", "rediss://", "unix://")):
        gateway.refuse(("store", "url"), "should begin with redis://, rediss:// or unix://")
    elif kind == "memory" and url is not None:
        gateway.refuse(("store", "url"), "is for kind: redis")


def _are(known: set[str]) -> str:
    return f" (there are: {listed(known)})"


def _check_tls(gateway: Document) -> None:
    """The certificate can be shown and the key is its own."""
    server = gateway.value.get("server")
    tls = server.get("tls") if isinstance(server, dict) else None
    if not isinstance(tls, dict) or not all(isinstance(tls.get(key), str) for key in ("certificate", "key")):
        return
    for key in ("certificate", "key"):
        _check_path(gateway, ("server", "tls", key), tls[key])
    if gateway.refused.isdisjoint({("server", "tls", key) for key in ("certificate", "key")}):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls["certificate"], tls["key"])
        except (OSError, ValueError):
            gateway.refuse(("server", "tls"), "no certificate and its key in PEM, or they cannot be read")


def _check_models(gateway: Document) -> None:
    """Models that are given as paths are there."""
    for n, upstream in mappings(gateway.value.get("upstreams")):
        if upstream.get("kind") == "embedded":
            _check_path(gateway, ("upstreams", n, "model"), upstream.get("model"))
    if isinstance(scoring := gateway.value.get("scoring"), dict):
        _check_path(gateway, ("scoring", "encoder"), scoring.get("encoder"))
        _check_path(gateway, ("scoring", "verifier"), scoring.get("verifier"))


def _check_path(gateway: Document, place: Place, path: Any) -> None:
    if isinstance(path, str) and "/" in path and not exists(Path(path)):
        gateway.refuse(
            place, "no such file" if place in gateway.hidden else f"no {os.path.relpath(path)}{_beside(Path(path))}"
        )


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _rails(policy: Document) -> Iterator[tuple[Place, str, Mapping[str, Any]]]:
    """Every rail with its place, where the mapping of its settings stands, and its kind."""
    for stage in ("input", "output"):
        for n, raw in mappings(policy.value.get(stage)):
            rail = one_key(raw)
            if isinstance(kind := rail.get("kind"), str):
                yield (stage, n) if rail is raw else (stage, n, kind), kind, rail


def _check_score(policy: Document, place: Place, rail: Mapping[str, Any], *, scored: bool) -> None:
    metric, known = rail.get("metric"), policy.value.get("known")
    if not scored:
        policy.refuse(place, "the gateway has no `scoring`")
    elif "input" in place and isinstance(metric, str) and metric not in REQUESTS:
        policy.refuse(place, f"{metric} is a score of answers: it stands under output")
    elif (rail.get("below") is None) == (rail.get("above") is None):
        policy.refuse(place, "give it `below` or `above`, one of the two")
    bank = {"novelty": "prompts", "attack": "attacks"}.get(metric) if isinstance(metric, str) else None
    if bank and not (isinstance(known, dict) and known.get(bank)):
        policy.refuse(place, f"there is nothing to hold it against: give the policy `known: {{{bank}: FILE}}`")


def _check_nemo(policy: Document, place: Place, path: Any, folder: Path) -> None:
    found = _below(policy, place, path, folder)
    if found and not is_folder(found):
        policy.refuse(place, f"no folder {found}{_beside(found)}")
    elif found and not any(is_file(found / name) for name in ("config.yml", "config.yaml")):
        policy.refuse(place, f"no config.yml in {found}")


def _check_spec(policy: Document, place: Place, path: Any, folder: Path) -> None:
    found = _below(policy, place, path, folder)
    if found and not is_file(found):
        policy.refuse(place, f"no file {found}{_beside(found)}")


def _check_schemas(policy: Document, place: Place, rail: Mapping[str, Any], folder: Path) -> None:
    _check_spec(policy, (*place, "file"), rail.get("file"), folder)
    tools = rail.get("arguments")
    for tool, rule in tools.items() if isinstance(tools, dict) else ():
        if isinstance(rule, dict):
            _check_spec(policy, (*place, "arguments", tool, "file"), rule.get("file"), folder)


def _below(policy: Document, place: Place, path: Any, folder: Path) -> Path | None:
    if not isinstance(path, str):
        return None
    found = Path(os.path.normpath(folder / path))
    if found.is_relative_to(folder) and found != folder:
        return found
    policy.refuse(place, f"should lie below {folder}")
    return None


def _beside(path: Path) -> str:
    return near(path.name, [p.name for p in path.parent.iterdir()]) if is_folder(path.parent) else ""


def _check_patterns(policy: Document, place: Place, rail: Mapping[str, Any]) -> None:
    options = re2.Options()
    options.log_errors = False
    deny = rail.get("deny", ())
    for n, pattern in enumerate(deny if isinstance(deny, tuple) else ()):
        try:
            re2.compile(pattern, options) if isinstance(pattern, str) else None
        except re2.error as refused:
            policy.refuse((*place, n), f"not an expression of RE2: {_said(refused)}")
    if not deny and not rail.get("builtin"):
        policy.refuse(place[:-1], "denies nothing: give it `deny` or `builtin`")


def _said(refused: Exception) -> str:
    said = refused.args[0] if refused.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def _check_monitor(gateway: Document) -> None:
    """What is watched is read from the event log, and vectors come from the scorer."""
    value = gateway.value
    if not value.get("monitor"):
        return
    events = value.get("events")
    if (events.get("path", "-") if isinstance(events, dict) else "-") == "-":
        gateway.refuse(("monitor",), "reads the event log, so `events.path` has to be a file")
    if value.get("scoring", {}) is None:
        gateway.refuse(("monitor",), "has its vectors from the scorer, and the gateway has no `scoring`")


def _check_panel(gateway: Document) -> None:
    """What `/ui` shows is read from the event log; the key of a client does not open it."""
    value = gateway.value
    panel, events = value.get("ui"), value.get("events")
    if not isinstance(panel, dict):
        return
    if (events.get("path", "-") if isinstance(events, dict) else "-") == "-":
        gateway.refuse(("ui",), "shows what stands in the event log, so `events.path` has to be a file")
    if any(key.get("sha256") == panel.get("sha256") for _, key in mappings(value.get("keys"))):
        gateway.refuse(("ui", "sha256"), "is a client's key; make one of its own: tidegate keys new")


def _check_exports(gateway: Document) -> None:
    """What is sent is read from the event log; each destination has a name of its own."""
    events, seen = gateway.value.get("events"), set()
    for n, export in mappings(gateway.value.get("export")):
        for kind, said in export.items():
            name = (said.get("name") if isinstance(said, dict) else None) or kind
            if name in seen:
                gateway.refuse(("export", n, kind), f"another destination is called {name!r}; give it a `name`")
            seen.add(name)
    if seen and (events.get("path", "-") if isinstance(events, dict) else "-") == "-":
        gateway.refuse(("export",), "sends what stands in the event log, so `events.path` has to be a file")


def _check_data(gateway: Document) -> None:
    """Texts are captured one way; reviewers are keys; personal data is of kinds that there are."""
    value = gateway.value
    data, events = value.get("data"), value.get("events")
    if not isinstance(data, dict):
        return
    mode = events.get("capture", "none") if isinstance(events, dict) else "none"
    if mode not in {"none", data.get("texts", "redacted")}:
        gateway.refuse(("data", "texts"), f"`events.capture` says {mode!r}; both have to be the same")
    keys = [key.get("name") for _, key in mappings(value.get("keys"))]
    for n, name in enumerate(_words(data.get("reviewers"))):
        if name not in keys:
            gateway.refuse(("data", "reviewers", n), f"no key is named {name!r}{near(name, [k for k in keys if k])}")


def _words(value: Any) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []
