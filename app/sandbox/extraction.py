"""Questions that ask for JSON: from a name and a city to an order that was corrected."""

from collections.abc import Sequence
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

_FIRST_NAMES = (
    "Ada", "Alan", "Barbara", "Claude", "Donald", "Edsger", "Frances", "Grace", "Hedy", "Ivan",
    "Joan", "Katherine", "Leslie", "Margaret", "Niklaus", "Olga", "Radia", "Sophie", "Tony",
)  # fmt: skip
_LAST_NAMES = (
    "Adams", "Becker", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Horvat", "Ivanova",
    "Jensen", "Kowalski", "Laurent", "Moretti", "Novak", "Okafor", "Petrov", "Rossi", "Schmidt",
)  # fmt: skip
_CITIES = (
    "Amsterdam", "Bergen", "Cork", "Dresden", "Eindhoven", "Florence", "Ghent", "Hamburg",
    "Istanbul", "Jena", "Krakow", "Lisbon", "Malmo", "New York", "Oslo", "Porto", "San Diego",
)  # fmt: skip
_ITEMS = (
    "chairs", "desks", "lamps", "cables", "monitors", "keyboards", "notebooks", "headsets",
    "printers", "shelves", "whiteboards", "projectors", "routers", "adapters",
)  # fmt: skip


def _flat(name: str, /, **kinds: str) -> Json:
    """A strict response format for one flat object."""
    return response_format(name, strict_object({k: {"type": kind} for k, kind in kinds.items()}))


def _person(slots: Slots) -> Solution:
    name, city = slots["w1"], slots["w2"]
    return json_solution(
        {"name": name, "city": city},
        {"name": city, "city": name},
        {"name": name},
        {"name": name.split()[0], "city": city},
    )


def _patient(slots: Slots) -> Solution:
    right: Json = {"name": slots["w1"], "age": int(slots["n1"]), "city": slots["w2"]}
    return json_solution(
        right,
        right | {"city": slots["w3"]},
        {key: right[key] for key in ("name", "age")},
        right | {"age": right["age"] + 1},
        right | {"age": str(right["age"])},
    )


def _order(slots: Slots) -> Solution:
    quantity, price = int(slots["n1"]), int(slots["n2"])
    right: Json = {
        "customer": slots["w1"],
        "item": slots["u1"],
        "quantity": quantity,
        "total": quantity * price,
        "due": slots["d1"],
    }
    return json_solution(
        right,
        right | {"total": price},
        right | {"total": quantity * price + price},
        {key: right[key] for key in ("customer", "item", "quantity", "due")},
        right | {"customer": slots["w2"]},
    )


def _corrected(slots: Slots) -> Solution:
    first, second, corrected = int(slots["n1"]), int(slots["n2"]), int(slots["n3"])
    right = _lines(slots, corrected, second)
    return json_solution(
        right,
        _lines(slots, first, second),
        _lines(slots, first + corrected, second),
        _lines(slots, second, corrected),
        right | {"items": right["items"][:1]},
    )


def _lines(slots: Slots, first: int, second: int) -> Json:
    return {
        "customer": slots["w1"],
        "items": [
            {"name": slots["u1"], "quantity": first},
            {"name": slots["u2"], "quantity": second},
        ],
        "pieces": first + second,
    }


def _name(rng: Random) -> str:
    return f"{rng.choice(_FIRST_NAMES)} {rng.choice(_LAST_NAMES)}"


def _two_of(rng: Random, things: Sequence[str]) -> tuple[str, str]:
    first, second = rng.sample(things, 2)
    return first, second


def _draw_person(rng: Random) -> Slots:
    return {"w1": _name(rng), "w2": rng.choice(_CITIES)}


def _draw_patient(rng: Random) -> Slots:
    city, former_city = _two_of(rng, _CITIES)
    return {"w1": _name(rng), "w2": city, "w3": former_city, "n1": str(rng.randint(18, 90))}


def _draw_order(rng: Random) -> Slots:
    due = f"{rng.randint(2024, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return {
        "w1": _name(rng),
        "w2": _name(rng),
        "u1": rng.choice(_ITEMS),
        "n1": str(rng.randint(3, 80)),
        "n2": str(rng.randint(7, 300)),
        "d1": due,
    }


def _draw_corrected(rng: Random) -> Slots:
    first, second = _two_of(rng, _ITEMS)
    quantities = rng.sample(range(4, 90), 3)
    numbers = {f"n{position}": str(count) for position, count in enumerate(quantities, 1)}
    return {"w1": _name(rng), "w2": _name(rng), "u1": first, "u2": second} | numbers


_PATIENT = "with the keys name, age (a whole number) and city (where the person lives now)"
_ORDER = (
    "with the keys customer, item, quantity, total (quantity times the price of one piece) and "
    "due (YYYY-MM-DD)"
)
_CORRECTED = (
    "with the keys customer, items (a list of objects with name and quantity, in the order of "
    "their first mention) and pieces (the sum of all quantities)"
)
TEMPLATES = (
    Template(
        "extraction",
        1,
        (
            "Give the name and the city as JSON with the keys name and city: {w1} lives in {w2}.",
            "Extract name and city as a JSON object. Text: {w1} comes from {w2}.",
        ),
        _draw_person,
        _person,
    ),
    Template(
        "extraction",
        1,
        (
            "Fill in name and city from this line: {w1}, resident of {w2}.",
            "Who lives where? Fill in name and city. In {w2} you will find {w1}.",
        ),
        _draw_person,
        _person,
        _flat("person", name="string", city="string"),
    ),
    Template(
        "extraction",
        2,
        (
            f"Return a JSON object {_PATIENT}. Note: {{w1}}, who turned {{n1}} this spring, moved "
            "from {w3} to {w2} last year.",
            f"Read the note and return a JSON object {_PATIENT}. Note: after years in {{w3}}, our "
            "patient {w1}, aged {n1}, has settled in {w2}.",
        ),
        _draw_patient,
        _patient,
        _flat("patient", name="string", age="integer", city="string"),
    ),
    Template(
        "extraction",
        3,
        (
            f"Turn this e-mail into a JSON object {_ORDER}. E-mail: Hello, this is {{w2}} writing "
            "on behalf of our customer {w1}, who would like to order {n1} {u1} at {n2} euros "
            "apiece, to arrive by {d1} at the latest. Thank you.",
            f"Our clerk {{w2}} took down an order by telephone. Make it a JSON object {_ORDER}. "
            "Order: deliver until {d1} to the customer {w1} the agreed {n1} {u1}, each of which "
            "costs {n2} euros.",
        ),
        _draw_order,
        _order,
        _flat(
            "order", customer="string", item="string", quantity="integer", total="integer",
            due="string",
        ),
    ),
    Template(
        "extraction",
        4,
        (
            f"Below is a chain of messages about one order. Turn the order as it finally stands "
            f"into a JSON object {_CORRECTED}. First message: {{w1}} needs {{n1}} {{u1}} as well "
            "as {n2} {u2} for the new office. Second message, from {w2} in accounting: is the "
            "first number really right? Third message: no, sorry, make that {n3} and leave the "
            "rest as it was.",
            f"Two colleagues talk about an order; write down what is to be delivered in the end as "
            f"a JSON object {_CORRECTED}. Ordering for the customer {{w1}}, {{w2}} first "
            "asks for {n1} {u1} and {n2} {u2}. An hour later the number of the former is changed "
            "to {n3}, while nothing else in the order changes.",
        ),
        _draw_corrected,
        _corrected,
        response_format(
            "corrected_order",
            strict_object(
                {
                    "customer": {"type": "string"},
                    "items": {
                        "type": "array",
                        "items": strict_object(
                            {"name": {"type": "string"}, "quantity": {"type": "integer"}}
                        ),
                    },
                    "pieces": {"type": "integer"},
                }
            ),
        ),
    ),
)  # fmt: skip
