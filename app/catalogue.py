"""The model names clients may use, and what each of them means."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.errors import RequestError, SettingsError, UnknownModelError
from app.policies import at_threshold, has_dial
from app.policies.fixed import Always
from app.policy import Policy
from app.records import Kind
from app.tailor import rejected
from app.tiers import Tier, TierLadder
from app.wire import ChatRequest

AUTO = "auto"
ROUTER = re.compile(r"router-([A-Za-z0-9_]{1,40})-([0-9]*\.?[0-9]{1,40})")
"""A name as RouteLLM's clients write it: the policy, and its threshold."""
UNSUPPORTED = "unsupported_parameter"

_PARAMETERS = {
    "tools": "tools",
    "custom_tools": "tools",
    "web_search": "web_search_options",
    "moderation": "moderation",
    "prefill": "messages",
    "json_object": "response_format",
    "json_schema": "response_format",
    "logprobs": "logprobs",
    "vision": "messages",
    "audio": "messages",
    "files": "messages",
}


@dataclass(frozen=True, slots=True)
class Route:
    """How a request is to be served: by which policy, over which tiers."""

    policy: Policy
    ladder: TierLadder
    kind: Kind


class Catalogue:
    """`auto`, `auto:<policy>`, tier names, tier models, and configured aliases of these.

    `router-<policy>-<threshold>` as well, where the policy has a threshold.
    """

    def __init__(
        self,
        *,
        ladder: TierLadder,
        policies: Mapping[str, Policy],
        default: str,
        aliases: Mapping[str, str],
    ) -> None:
        if default not in policies:
            raise SettingsError(f"policy: {default!r} is none of {', '.join(policies)}")
        self._ladder = ladder
        self._policies = policies
        self._default = default
        self._aliases = aliases
        for alias, name in aliases.items():
            if name in aliases or not self._is_model(name):
                raise SettingsError(f"aliases.{alias}: {name!r} is not a model of this gateway")

    @property
    def names(self) -> Sequence[str]:
        """Every name a client may give, `auto` first."""
        names = [AUTO, *(f"{AUTO}:{policy}" for policy in self._policies)]
        names += [name for tier in self._ladder for name in (tier.name, *sorted(tier.models))]
        return list(dict.fromkeys([*names, *self._aliases]))

    def route(self, request: ChatRequest, default: str | None = None) -> Route:
        """What the request's `model` asks for; `default` is the policy behind a bare `auto`.

        Errors: UnknownModelError; RequestError where no tier can serve the request, or nothing
        would heed its dial.
        """
        route = self._route(request, default or self._default)
        dial = request.extension.dial
        if dial is not None and not has_dial(route.policy, dial.name):
            raise RequestError(
                f"{route.policy.name!r} does not trade money for accuracy: leave {dial.name} out, "
                "or ask for 'auto:value'",
                code=UNSUPPORTED,
                param=f"autoshift.{dial.name}",
            )
        return route

    def ruled_out(self, request: ChatRequest) -> dict[str, str]:
        """Why tiers cannot serve the request, by name; those that can are left out."""
        found = {tier.name: why_not(tier, request) for tier in self._ladder}
        return {name: why for name, why in found.items() if why is not None}

    def _route(self, request: ChatRequest, default: str) -> Route:
        name = self._aliases.get(request.model, request.model)
        if name == AUTO or name.startswith(f"{AUTO}:"):
            asked = request.extension.policy or name.removeprefix(AUTO).removeprefix(":")
            return Route(self._policy(asked or default), self._able(request), "routed")
        for tier in self._ladder:
            if name == tier.name or name in tier.models:
                return pinned_to(tier.name, self._ladder)
        if (router := ROUTER.fullmatch(name)) is not None:
            policy = self._at(router[1], float(router[2]))
            return Route(policy, self._able(request), "routed")
        raise UnknownModelError(
            f"the model {name[:100]!r} does not exist here; use 'auto', or one of "
            f"{', '.join(self._ladder.names)}",
            param="model",
        )

    def _policy(self, name: str) -> Policy:
        if name in self._policies:
            return self._policies[name]
        raise UnknownModelError(
            f"the policy {name[:100]!r} does not exist; use one of {', '.join(self._policies)}",
            param="model",
        )

    def _at(self, name: str, threshold: float) -> Policy:
        """The policy, with this threshold."""
        policy = at_threshold(self._policy(name), threshold)
        if policy is None or threshold > 1:
            known = [other for other in self._policies if self._has_threshold(other)]
            raise UnknownModelError(
                f"'router-{name}-…' needs a threshold in [0, 1] and one of {', '.join(known)}",
                param="model",
            )
        return policy

    def _is_model(self, name: str) -> bool:
        """Whether a request for it could be served; aliases aside."""
        router = ROUTER.fullmatch(name)
        if router is None:
            return name in self.names
        try:
            self._at(router[1], float(router[2]))
        except UnknownModelError:
            return False
        return True

    def _has_threshold(self, name: str) -> bool:
        return at_threshold(self._policies[name], 0.0) is not None

    def _able(self, request: ChatRequest) -> TierLadder:
        """The tiers that can serve this request: what it needs, and how long it is."""
        needs, prompt_tokens = request.needs(), request.prompt_tokens()
        able = [tier for tier in self._ladder if tier.can(needs, prompt_tokens)]
        taking = [tier.name for tier in able if rejected(tier, request) is None]
        if taking:
            return self._ladder.only(frozenset(taking))
        if able:
            parameter = rejected(able[0], request)
            raise RequestError(
                f"no tier takes {parameter}; leave it out", code=UNSUPPORTED, param=parameter
            )
        for need in sorted(needs):
            if not any(tier.can(frozenset({need}), 0) for tier in self._ladder):
                raise RequestError(
                    f"no tier supports {need}",
                    code=UNSUPPORTED,
                    param=_PARAMETERS[need],
                )
        if any(tier.can(needs, 0) for tier in self._ladder):
            raise RequestError(
                f"the prompt is too long: about {prompt_tokens} tokens, more than any tier takes",
                code="context_length_exceeded",
                param="messages",
            )
        raise RequestError(
            f"no single tier supports all of {', '.join(sorted(needs))}",
            code=UNSUPPORTED,
            param=_PARAMETERS[min(needs)],
        )


def pinned_to(tier: str, ladder: TierLadder) -> Route:
    """This tier and no other, unjudged."""
    return Route(Always(tier), ladder.only(frozenset({tier})), "pinned")


def why_not(tier: Tier, request: ChatRequest) -> str | None:
    """What is declared about the tier that rules the request out; None: nothing is."""
    missing = request.needs() - tier.supports if tier.supports is not None else frozenset()
    if missing:
        return f"it does not support {', '.join(sorted(missing))}"
    tokens, most = request.prompt_tokens(), tier.context_tokens
    if most is not None and tokens > most:
        return f"the prompt is too long: about {tokens} tokens, and it takes {most}"
    parameter = rejected(tier, request)
    return None if parameter is None else f"it does not take {parameter}"
