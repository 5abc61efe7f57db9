"""`POST /v1/explain`: what would be done with a chat request, and why; no tier is asked."""

from collections.abc import Callable, Mapping

from starlette.types import Receive, Scope, Send

from app.accounts.keyring import Caller
from app.api.auth import caller_of
from app.api.body import ClientLeft, headers_of, read_body
from app.api.render import send_error, send_json
from app.errors import GatewayError
from app.events import Order
from app.jsontext import dump_json
from app.rules import Rules


class ExplainEndpoint:
    """The same body and headers as for a completion; `order` is how those are understood."""

    def __init__(
        self,
        *,
        rules: Callable[[], Rules],
        order: Callable[[str, bytes, dict[str, str], Caller], Order],
        new_id: Callable[[], str],
        body_bytes: int,
        simulated: bool,
    ) -> None:
        self._rules = rules
        self._order = order
        self._new_id = new_id
        self._body_bytes = body_bytes
        self._about: Mapping[str, object] = {"simulated": True} if simulated else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Explain one request; every failure ends in the envelope."""
        request_id = self._new_id()
        stamp = {"x-request-id": request_id}
        try:
            headers = headers_of(scope)
            raw = await read_body(receive, headers, self._body_bytes)
            order = self._order(request_id, raw, headers, caller_of(scope))
            told = await self._rules().explainer.explain(order)
        except ClientLeft:
            return
        except GatewayError as exc:
            await send_error(send, exc, stamp)
            return
        await send_json(send, 200, dump_json({**told, **self._about}), stamp)
