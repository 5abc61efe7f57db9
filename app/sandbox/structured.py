"""Questions with a strict schema: enums, nested objects and arrays, from a ticket to an invoice."""

from datetime import date, timedelta
from random import Random

from app.jsontext import Json
from app.sandbox.templates import (
    Slots,
    Solution,
    Template,
    json_solution,
    response_format,
    strict_object,
)

# What a customer may say, and which department it is for.
_COMPLAINTS = {
    "was charged twice": "billing",
    "never got an invoice": "billing",
    "wants a refund": "billing",
    "cannot log in": "account",
    "forgot the password": "account",
    "wants to change the address": "account",
    "got a broken parcel": "shipping",
    "still waits for the parcel": "shipping",
    "got the wrong colour": "shipping",
}
_DEPARTMENTS = ("billing", "account", "shipping")
_URGENCY = {"calmly": "low", "twice already": "medium", "very angrily": "high"}
_PEOPLE = ("Amara", "Bruno", "Chiara", "Daan", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas")
_CITIES = ("Aarhus", "Bologna", "Coimbra", "Dortmund", "Exeter", "Gdansk", "Lyon", "Malaga")
_TITLES = ("Budget Review", "Design Workshop", "Sales Training", "Team Lunch", "Product Launch")
_GOODS = ("lamps", "chairs", "mugs", "books", "plants", "towels", "candles", "baskets")
_MODES = {"over the phone": "phone", "in a video call": "video", "at the office": "on_site"}
_VAT_PERCENT = {"standard": 20, "reduced": 5}

_STRING: Json = {"type": "string"}
_INTEGER: Json = {"type": "integer"}
_NUMBER: Json = {"type": "number"}


def _ticket(slots: Slots) -> Solution:
    department, urgency = _COMPLAINTS[slots["p1"]], _URGENCY[slots["p2"]]
    other = _DEPARTMENTS[(_DEPARTMENTS.index(department) + 1) % len(_DEPARTMENTS)]
    right: Json = {"customer": slots["w1"], "department": department, "urgency": urgency}
    return json_solution(
        right,
        right | {"department": other},
        right | {"urgency": "high" if urgency == "low" else "low"},
        right | {"department": "support"},
        _without(right, "urgency"),
    )


def _meeting(slots: Slots) -> Solution:
    people = [slots["w2"], slots["w3"]]
    right: Json = {
        "title": slots["w1"],
        "attendees": people,
        "mode": _MODES[slots["p1"]],
        "minutes": int(slots["n1"]) * 60,
    }
    return json_solution(
        right,
        right | {"minutes": int(slots["n1"])},
        right | {"minutes": str(right["minutes"])},
        right | {"attendees": people[:1]},
        _without(right, "mode"),
        right | {"attendees": " and ".join(people)},
    )


def _shipment(slots: Slots) -> Solution:
    first, second = int(slots["n1"]), int(slots["n2"])
    right = _shipped(slots, slots["w2"], slots["w3"], first, second)
    return json_solution(
        right,
        _shipped(slots, slots["w3"], slots["w2"], first, second),
        right | {"total_kg": first + second + 1},
        right | {"total_kg": f"{first + second} kg"},
        right | {"parcels": right["parcels"][:1]},
        right | {"sender": slots["w1"]},
    )


def _shipped(slots: Slots, origin: str, destination: str, first: int, second: int) -> Json:
    return {
        "sender": {"name": slots["w1"], "city": origin},
        "destination": destination,
        "parcels": [{"kg": first, "fragile": True}, {"kg": second, "fragile": False}],
        "total_kg": first + second,
    }


def _invoice(slots: Slots) -> Solution:
    due = date.fromisoformat(slots["d1"]) + timedelta(days=int(slots["n5"]))
    right = _invoiced(slots, due, "reduced")
    first = {key: value for key, value in right["lines"][0].items() if key != "subtotal"}
    return json_solution(
        right,
        _invoiced(slots, due, "standard"),
        _invoiced(slots, date.fromisoformat(slots["d1"]), "reduced"),
        right | {"lines": right["lines"][:1]},
        right | {"lines": [first, right["lines"][1]]},
        right | {"total": str(right["total"])},
        right | {"total": right["net"]},
    )


def _invoiced(slots: Slots, due: date, rate: str) -> Json:
    lines = [
        {"item": item, "quantity": quantity, "subtotal": quantity * price}
        for item, quantity, price in (
            (slots["u1"], int(slots["n1"]), int(slots["n2"])),
            (slots["u2"], int(slots["n3"]), int(slots["n4"])),
        )
    ]
    net = sum(line["subtotal"] for line in lines)  # type: ignore[misc]
    return {
        "customer": {"name": slots["w1"], "city": slots["w2"]},
        "lines": lines,
        "net": net,
        "vat": rate,
        "total": net * (100 + _VAT_PERCENT[rate]) / 100,
        "due": due.isoformat(),
    }


def _without(value: Json, key: str) -> Json:
    return {name: inner for name, inner in value.items() if name != key}


def _draw_ticket(rng: Random) -> Slots:
    return {
        "w1": f"{rng.choice(_PEOPLE)} {rng.choice(_CITIES)}",
        "p1": rng.choice(list(_COMPLAINTS)),
        "p2": rng.choice(list(_URGENCY)),
    }


def _draw_meeting(rng: Random) -> Slots:
    first, second = rng.sample(_PEOPLE, 2)
    return {
        "w1": rng.choice(_TITLES),
        "w2": first,
        "w3": second,
        "p1": rng.choice(list(_MODES)),
        "n1": str(rng.randint(2, 9)),
    }


def _draw_shipment(rng: Random) -> Slots:
    origin, destination = rng.sample(_CITIES, 2)
    return {
        "w1": rng.choice(_PEOPLE),
        "w2": origin,
        "w3": destination,
        "n1": str(rng.randint(2, 30)),
        "n2": str(rng.randint(2, 30)),
    }


def _draw_invoice(rng: Random) -> Slots:
    first, second = rng.sample(_GOODS, 2)
    return {
        "w1": rng.choice(_PEOPLE),
        "w2": rng.choice(_CITIES),
        "u1": first,
        "u2": second,
        "n1": str(rng.randrange(5, 100, 5)),
        "n2": str(rng.randrange(4, 60, 4)),
        "n3": str(rng.randrange(5, 100, 5)),
        "n4": str(rng.randrange(4, 60, 4)),
        "n5": str(rng.choice((10, 14, 21, 30, 45))),
        "d1": f"{rng.randint(2024, 2029)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
    }


def _enum(*values: str) -> Json:
    return {"type": "string", "enum": list(values)}


def _array(items: Json) -> Json:
    return {"type": "array", "items": items}


def _format(name: str, /, **properties: Json) -> Json:
    return response_format(name, strict_object(properties))


TEMPLATES = (
    Template(
        "structured",
        1,
        (
            "File a support ticket: the customer {w1} {p1} and complained {p2}.",
            "Make a support ticket of this. Customer {w1} {p1}; said so {p2}.",
        ),
        _draw_ticket,
        _ticket,
        _format(
            "ticket",
            customer=_STRING,
            department=_enum(*_DEPARTMENTS),
            urgency=_enum("low", "medium", "high"),
        ),
    ),
    Template(
        "structured",
        2,
        (
            "Fill in the meeting from this note: {w2} and {w3} meet {p1} for the {w1}, and it "
            "will take {n1} hours.",
            "Enter the {w1} as a meeting: it takes {n1} hours, {w2} and then {w3} come, and it is "
            "held {p1}.",
        ),
        _draw_meeting,
        _meeting,
        _format(
            "meeting",
            title=_STRING,
            attendees=_array(_STRING),
            mode=_enum(*_MODES.values()),
            minutes=_INTEGER,
        ),
    ),
    Template(
        "structured",
        3,
        (
            "Enter the shipment that this message tells of, with the fragile parcel first. "
            "Message: {w1} from {w2} sends two parcels to {w3}; the fragile one weighs {n1} kg, "
            "the other one {n2} kg.",
            "From this line of a notebook enter a shipment, the fragile parcel before the other: "
            "to {w3} go a fragile parcel of {n1} kg and a sturdy one of {n2} kg, posted in {w2} "
            "by {w1}.",
        ),
        _draw_shipment,
        _shipment,
        _format(
            "shipment",
            sender=strict_object({"name": _STRING, "city": _STRING}),
            destination=_STRING,
            parcels=_array(strict_object({"kg": _NUMBER, "fragile": {"type": "boolean"}})),
            total_kg=_NUMBER,
        ),
    ),
    Template(
        "structured",
        4,
        (
            "Write the invoice for this delivery, without leaving a line out. On {d1} we "
            "delivered to {w1} in {w2}: {n1} {u1} at {n2} euros each and {n3} {u2} at {n4} euros "
            "each. The VAT is standard (20 percent) unless the total number of kinds of goods is "
            "two or less; then it is reduced (5 percent). Payment is due {n5} days later.",
            "Prepare an invoice with all lines in the order given. Buyer: {w1}, {w2}. Goods: "
            "{n1} {u1}, {n2} euros apiece; {n3} {u2}, {n4} euros apiece. Whoever buys no more "
            "than two kinds of goods pays the reduced VAT of 5 percent, everybody else the "
            "standard one of 20 percent. The date is {d1} and the money is due after {n5} days.",
        ),
        _draw_invoice,
        _invoice,
        _format(
            "invoice",
            customer=strict_object({"name": _STRING, "city": _STRING}),
            lines=_array(
                strict_object({"item": _STRING, "quantity": _INTEGER, "subtotal": _NUMBER})
            ),
            net=_NUMBER,
            vat=_enum(*_VAT_PERCENT),
            total=_NUMBER,
            due=_STRING,
        ),
    ),
)
