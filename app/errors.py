"""The one error tree.

GatewayError
├── RequestError                the client's request is wrong
│   ├── InvalidJsonError        … not JSON we accept
│   ├── UnknownKeyError         … comes with no key that we know
│   ├── PermissionDeniedError   … asks for what its key may not
│   ├── RateLimitedError        … comes too soon for its key
│   ├── QuotaError              … costs more than its key may still spend
│   ├── TooDearError            … costs more than the request itself allows
│   ├── UnknownModelError       … names a model that is neither a policy, a tier nor a tier's model
│   ├── NotFoundError           … names a path or a decision that does not exist
│   ├── MethodError             … uses another HTTP method than the path has
│   ├── BodyTooLargeError
│   └── MediaTypeError
├── UpstreamError               a tier's provider did not give a usable answer
│   ├── UpstreamConnectError    no connection
│   ├── UpstreamUntrustedError  its TLS certificate
│   ├── UpstreamStaleError      a kept connection that it had closed meanwhile
│   ├── UpstreamDownError       not asked: its circuit breaker is open
│   ├── UpstreamBusyError       not asked: as many calls as it may get are in flight
│   ├── UpstreamTimeoutError    connected, but silent for too long
│   ├── UpstreamAuthError       401 or 403: our key
│   ├── UpstreamMissingError    404: our model name or URL
│   ├── UpstreamRateLimitError  429
│   ├── UpstreamRejectedError   another 4xx: the request, as this provider sees it
│   ├── UpstreamFailedError     5xx
│   ├── UpstreamAwayError       502, 503 or 504: not for the moment
│   └── UpstreamBrokenError     not the protocol: garbage, truncated, empty
├── OverloadedError             load shed: too much is in flight
├── CountsDownError             what a key has used cannot be counted: its limits' server is down
├── DeadlineError               the request's time is used up
├── ShuttingDownError           the gateway ends before the request does
├── EmbedderError               no vector for a question
├── StoreError                  the record store
│   ├── StoreDownError          … does not answer
│   ├── StoreLockedError        … is in use by another process
│   └── StoreMismatchError      … holds vectors of another embedder's dimension
├── OutboxError                 a record could not be written down
└── SettingsError               the configuration is wrong; `serve` exits 2

What a class says of itself: `retryable`: asking again may help, some time. Of upstreams: at once,
even, is `transient`, for no work was begun; `down` speaks against the upstream, not the request;
`asked`: it was called at all; `billable`: it may have done work, and be paid for it.
"""

import math
from collections.abc import Mapping, Sequence


class GatewayError(Exception):
    """Anything this gateway raises on purpose; the message is fit for the client."""

    code: str | None = None
    retryable = False

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class RequestError(GatewayError):
    code = "invalid_value"


class InvalidJsonError(RequestError):
    code = "invalid_json"


class UnknownKeyError(RequestError):
    code = "invalid_api_key"


class PermissionDeniedError(RequestError):
    code = "permission_denied"


class RateLimitedError(RequestError):
    """`limits` are the headers that tell how things stand."""

    code = "rate_limit_exceeded"

    def __init__(
        self, message: str, *, retry_after_s: float, limits: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.limits = limits or {}


class QuotaError(RequestError):
    code = "insufficient_quota"


class TooDearError(RequestError):
    code = "max_cost_exceeded"


class UnknownModelError(RequestError):
    code = "model_not_found"


class NotFoundError(RequestError):
    code = "not_found"


class MethodError(RequestError):
    code = "method_not_allowed"


class BodyTooLargeError(RequestError):
    code = "request_too_large"


class MediaTypeError(RequestError):
    code = "unsupported_media_type"


class UpstreamError(GatewayError):
    """A provider's failure; says nothing about the tier's quality."""

    code = "upstream_error"
    asked = True
    billable = False
    down = True
    transient = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param)
        self.retry_after_s = retry_after_s


class UpstreamConnectError(UpstreamError):
    code = "upstream_unreachable"
    retryable = True
    transient = True


class UpstreamUntrustedError(UpstreamError):
    code = "upstream_untrusted"


class UpstreamStaleError(UpstreamError):
    code = "upstream_broken"
    down = False
    retryable = True


class UpstreamDownError(UpstreamError):
    code = "upstream_down"
    asked = False
    down = False
    retryable = True


class UpstreamBusyError(UpstreamError):
    code = "upstream_busy"
    asked = False
    down = False
    retryable = True


class UpstreamTimeoutError(UpstreamError):
    code = "upstream_timeout"
    billable = True


class UpstreamAuthError(UpstreamError):
    code = "upstream_auth"


class UpstreamMissingError(UpstreamError):
    code = "upstream_model_missing"


class UpstreamRateLimitError(UpstreamError):
    code = "upstream_rate_limited"
    retryable = True
    transient = True


class UpstreamRejectedError(UpstreamError):
    code = "upstream_rejected"
    down = False


class UpstreamFailedError(UpstreamError):
    code = "upstream_failed"
    retryable = True


class UpstreamAwayError(UpstreamFailedError):
    transient = True


class UpstreamBrokenError(UpstreamError):
    code = "upstream_broken"
    billable = True


def soonest_cured(failures: Sequence[UpstreamError]) -> UpstreamError:
    """Of several tiers' failures the one to report: what waiting cures soonest, else the last.

    A 4xx is the client's own mistake only if all tiers say so. That one was not asked counts only
    where none was.
    """
    told = [failure for failure in failures if failure.asked] or failures
    curable = [failure for failure in told if failure.retryable]
    return min(curable, key=_wait_s, default=told[-1])


def _wait_s(failure: UpstreamError) -> float:
    return math.inf if failure.retry_after_s is None else failure.retry_after_s


class OverloadedError(GatewayError):
    code = "overloaded"
    retryable = True


class CountsDownError(GatewayError):
    code = "limits_unavailable"


class DeadlineError(GatewayError):
    code = "deadline_exceeded"


class AbstainedError(GatewayError):
    code = "no_tier_likely"


class ShuttingDownError(GatewayError):
    code = "shutting_down"


class EmbedderError(GatewayError):
    code = "embedder_failed"


class StoreError(GatewayError):
    code = "store_failed"


class StoreDownError(StoreError):
    code = "store_down"
    retryable = True


class StoreLockedError(StoreError):
    code = "store_locked"


class StoreMismatchError(StoreError):
    code = "store_mismatch"


class OutboxError(GatewayError):
    code = "outbox_failed"


class SettingsError(GatewayError):
    code = "settings"
