"""Every exception Tidegate raises on purpose, and the HTTP status each one means.

    TidegateError                       500
    ├── ConfigError                     (start-up; lists every problem with file:line)
    ├── RequestError                    400  the client's doing
    │   ├── Unauthenticated             401
    │   ├── Forbidden                   403
    │   ├── NotFound                    404
    │   ├── MethodNotAllowed            405
    │   ├── RequestTimeout              408
    │   ├── Conflict                    409
    │   ├── TooLarge                    413
    │   ├── UnsupportedMedia            415
    │   ├── Unprocessable               422
    │   ├── HeadTooLarge                431
    │   └── TooManyRequests             429
    │       ├── RequestsLimited              more requests than the key may make
    │       ├── TokensLimited                more tokens than the key may use
    │       └── QuotaExceeded                more money than the key may spend
    ├── PolicyBlocked                   400  a policy refused the exchange
    ├── PolicyUnavailable               503  a rail failed and its policy is closed
    ├── AuditUnavailable                503  no record can be written
    ├── LimitsUnavailable               503  nobody can say whether the key has anything left
    ├── Overloaded                      503  the gateway has all the requests it can take
    ├── NotSupported                    501  the upstream cannot do what was asked
    ├── UpstreamError                   502  the model's side
    │   ├── UpstreamUnreachable         502  refused, reset before an answer, DNS, TLS
    │   ├── UpstreamBroken              502  an answer that stops or cannot be read
    │   ├── UpstreamTimeout             504
    │   └── UpstreamUnavailable         503  no upstream is fit to be asked
    │       └── UpstreamBusy            503  too much is under way with it already
    └── WorkerError                     503  a child process of ours
        ├── WorkerBusy                       its queue is full
        ├── WorkerTimeout                    no answer within the deadline
        ├── WorkerLost                       it died with the call in hand
        └── WorkerFault                      its engine raised

A message says what, where and what to do. It never carries a body, a key or a prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class TidegateError(Exception):
    """Root of the tree. `status`, `kind` and `code` fill OpenAI's error envelope."""

    status: int = 500
    kind: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = None

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file an operator edits; prints as `file:line: message`."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class ConfigError(TidegateError):
    """All problems of a configuration at once."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class RequestError(TidegateError):
    status = 400
    kind = "invalid_request_error"


class Unauthenticated(RequestError):
    status = 401
    code = "invalid_api_key"


class Forbidden(RequestError):
    status = 403
    kind = "permission_error"


class NotFound(RequestError):
    status = 404


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(RequestError):
    status = 405


class RequestTimeout(RequestError):
    status = 408
    kind = "timeout"


class Conflict(RequestError):
    """What was asked cannot be, as things stand; asking again is no use."""

    status = 409
    kind = "conflict_error"


class TooLarge(RequestError):
    status = 413
    code = "request_too_large"


class UnsupportedMedia(RequestError):
    status = 415


class Unprocessable(RequestError):
    status = 422


class HeadTooLarge(RequestError):
    status = 431


class TooManyRequests(RequestError):
    status = 429
    kind = "rate_limit_error"
    code = "rate_limit_exceeded"


class RequestsLimited(TooManyRequests):
    kind = "requests"


class TokensLimited(TooManyRequests):
    kind = "tokens"


class QuotaExceeded(TooManyRequests):
    kind = "insufficient_quota"
    code = "insufficient_quota"


class PolicyBlocked(TidegateError):
    """A policy refused the exchange; `code` is OpenAI's own word for it, `status` may be the policy's."""

    status = 400
    kind = "policy_violation"
    code = "content_filter"

    def __init__(
        self, message: str, status: int = 400, *, param: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, param=param, retry_after=retry_after)
        self.status = status


class PolicyUnavailable(TidegateError):
    """A rail could not judge and its policy is closed: no answer is given rather than an unjudged one."""

    status = 503
    kind = "policy_unavailable"
    code = "policy_unavailable"


class AuditUnavailable(TidegateError):
    """The exchange would leave no record: it is not begun."""

    status = 503
    code = "audit_unavailable"


class LimitsUnavailable(TidegateError):
    """What the key may still use cannot be looked up, and the operator wants nothing to pass unaccounted."""

    status = 503
    code = "limits_unavailable"


class Overloaded(TidegateError):
    """Shed before it was begun, so that what was let in is answered in time."""

    status = 503
    code = "overloaded"


class NotSupported(TidegateError):
    status = 501
    kind = "not_supported"
    code = "not_supported"


class UpstreamError(TidegateError):
    status = 502
    kind = "upstream_error"
    code = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    code = "upstream_unreachable"


class UpstreamBroken(UpstreamError):
    code = "upstream_broken"


class UpstreamTimeout(UpstreamError):
    status = 504
    kind = "timeout"
    code = "upstream_timeout"


class UpstreamUnavailable(UpstreamError):
    status = 503
    code = "upstream_unavailable"


class UpstreamBusy(UpstreamUnavailable):
    """A limit of the gateway's own on what one upstream is given."""

    code = "upstream_busy"


class WorkerError(TidegateError):
    status = 503
    kind = "server_error"
    code = "worker_unavailable"


class WorkerBusy(WorkerError):
    code = "worker_busy"


class WorkerTimeout(WorkerError):
    code = "worker_timeout"


class WorkerLost(WorkerError):
    code = "worker_lost"


class WorkerFault(WorkerError):
    code = "worker_fault"
