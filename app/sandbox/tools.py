"""Questions that want a tool called, from one argument to two calls at once."""

from datetime import date, timedelta
from random import Random

from app.jsontext import Json
from app.sandbox.templates import Slots, Solution, Template, json_solution
from app.sandbox.toolbox import (
    CALENDARS,
    CONVERT,
    CREATE_EVENT,
    CURRENCIES,
    CURRENT_WEATHER,
    EXCHANGE,
    FIND_EVENTS,
    FORECAST,
    UNITS,
)

_CITIES = (
    "Athens", "Berlin", "Cairo", "Dublin", "Geneva", "Helsinki", "Kyoto", "Lima", "Nairobi",
    "Ottawa", "Prague", "Quito", "Rome", "Santiago", "Tunis", "Vienna", "Warsaw", "Zagreb",
)  # fmt: skip
_PEOPLE = ("Aisha", "Boris", "Carla", "Dmitri", "Emma", "Fatima", "Georg", "Hanna", "Igor", "Julia")
_SURNAMES = ("Ahmed", "Brown", "Castro", "Dias", "Evans", "Ferrari", "Grant", "Haas", "Ito", "Kaya")
_TITLES = ("Offsite", "Conference", "Summer Camp", "Audit", "Trade Fair", "Workshop")
_PLURALS = {"foot": "feet"} | {unit: f"{unit}s" for unit in UNITS if unit != "foot"}
_SINGULARS = {plural: unit for unit, plural in _PLURALS.items()}
_LENGTHS, _WEIGHTS = UNITS[:4], UNITS[4:]
_MONEY = dict(zip(("euros", "dollars", "pounds", "yen", "francs"), CURRENCIES, strict=True))


def _now(slots: Slots) -> Solution:
    city = slots["w1"]
    right = _call(CURRENT_WEATHER, city=city)
    return _calls(
        [right],
        [_call(FORECAST, city=city, day="2026-01-01", unit="celsius")],
        [_call(CURRENT_WEATHER)],
        [_call(CURRENT_WEATHER, city=[city])],
        [_call(CURRENT_WEATHER, city="Paris")],
    )


def _unit(slots: Slots) -> Solution:
    value = int(slots["n1"])
    first, second = _SINGULARS[slots["u1"]], _SINGULARS[slots["u2"]]
    return _calls(
        [_call(CONVERT, value=value, from_unit=first, to_unit=second)],
        [_call(CONVERT, value=value, from_unit=second, to_unit=first)],
        [_call(CONVERT, value=value, from_unit=slots["u1"], to_unit=slots["u2"])],
        [_call(CONVERT, value=str(value), from_unit=first, to_unit=second)],
        [_call(EXCHANGE, amount=value, from_currency="EUR", to_currency="USD")],
    )


def _money(slots: Slots) -> Solution:
    amount, first, second = int(slots["n1"]), _MONEY[slots["u1"]], _MONEY[slots["u2"]]
    return _calls(
        [_call(EXCHANGE, amount=amount, from_currency=first, to_currency=second)],
        [_call(EXCHANGE, amount=amount, from_currency=second, to_currency=first)],
        [_call(EXCHANGE, amount=amount * 10, from_currency=first, to_currency=second)],
        [_call(EXCHANGE, amount=amount, from_currency=first)],
        [_call(CONVERT, value=amount, from_unit="pound", to_unit="ounce")],
    )


def _events(slots: Slots) -> Solution:
    first = date.fromisoformat(slots["d1"])
    last = first + timedelta(days=int(slots["n1"]) - 1)
    asked: Json = {"owner": slots["w1"], "calendar": slots["u1"]}
    right = _call(FIND_EVENTS, **asked, period=_period(first, last))
    too_long = _period(first, last + timedelta(days=1))
    return _calls(
        [right],
        [_call(FIND_EVENTS, **asked, period=too_long)],
        [_call(FIND_EVENTS, **asked, period=_period(last, first))],
        [_call(FIND_EVENTS, **asked, **_period(first, last))],
        [_call(FIND_EVENTS, **asked, period={"first_day": first.isoformat()})],
        [_call(CREATE_EVENT, **asked, title="Events", period=_period(first, last), guests=[])],
    )


def _event(slots: Slots) -> Solution:
    first = date.fromisoformat(slots["d1"])
    days = timedelta(days=int(slots["n1"]) - 1)
    one, two = slots["w3"], slots["w4"]
    asked: Json = {"owner": slots["w1"], "calendar": slots["u1"], "title": slots["w2"]}
    fixed: Json = asked | {"period": _period(first, first + days)}
    guests = [{"name": one, "required": True}, {"name": two, "required": False}]
    swapped = [{"name": one, "required": False}, {"name": two, "required": True}]
    too_long = _period(first, first + days + timedelta(days=1))
    return _calls(
        [_call(CREATE_EVENT, **fixed, guests=guests)],
        [_call(CREATE_EVENT, **fixed, guests=swapped)],
        [_call(CREATE_EVENT, **asked, period=too_long, guests=guests)],
        [_call(CREATE_EVENT, **fixed, guests=[one, two])],
        [_call(CREATE_EVENT, **fixed)],
        [_call(FIND_EVENTS, owner=slots["w1"], calendar=slots["u1"], period=fixed["period"])],
    )


def _two_forecasts(slots: Slots) -> Solution:
    today = date.fromisoformat(slots["d1"])
    day = today + timedelta(days=int(slots["n1"]))
    one, two = (_asked_forecast(slots[city], day) for city in ("w1", "w2"))
    return _calls(
        [one, two],
        [one],
        [_asked_forecast(slots["w1"], today), _asked_forecast(slots["w2"], today)],
        [_asked_forecast(f"{slots['w1']} and {slots['w2']}", day)],
        [_asked_forecast(slots[city], day, "F") for city in ("w1", "w2")],
        [_call(CURRENT_WEATHER, city=slots[city]) for city in ("w1", "w2")],
    )


def _asked_forecast(city: str, day: date, unit: str = "fahrenheit") -> Json:
    return _call(FORECAST, city=city, day=day.isoformat(), unit=unit)


def _period(first: date, last: date) -> Json:
    return {"first_day": first.isoformat(), "last_day": last.isoformat()}


def _call(tool: Json, /, **arguments: object) -> Json:
    return {"name": tool["function"]["name"], "arguments": arguments}


def _calls(right: list[Json], *wrong: list[Json]) -> Solution:
    return json_solution(right, *wrong)


def _date(rng: Random) -> str:
    return f"{rng.randint(2024, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _draw_now(rng: Random) -> Slots:
    return {"w1": rng.choice(_CITIES), "w2": f"{rng.choice(_PEOPLE)} {rng.choice(_SURNAMES)}"}


def _draw_unit(rng: Random) -> Slots:
    first, second = rng.sample(rng.choice((_LENGTHS, _WEIGHTS)), 2)
    return {"n1": str(rng.randint(2, 900)), "u1": _PLURALS[first], "u2": _PLURALS[second]}


def _draw_money(rng: Random) -> Slots:
    first, second = rng.sample(list(_MONEY), 2)
    return {"n1": str(rng.randint(2, 900)), "u1": first, "u2": second}


def _draw_events(rng: Random) -> Slots:
    return {
        "w1": rng.choice(_PEOPLE),
        "u1": rng.choice(CALENDARS),
        "d1": _date(rng),
        "n1": str(rng.randint(3, 20)),
    }


def _draw_event(rng: Random) -> Slots:
    owner, one, two = rng.sample(_PEOPLE, 3)
    names = {"w1": owner, "w2": rng.choice(_TITLES), "w3": one, "w4": two}
    return {**_draw_events(rng), **names}


def _draw_two_forecasts(rng: Random) -> Slots:
    one, two = rng.sample(_CITIES, 2)
    return {"w1": one, "w2": two, "d1": _date(rng), "n1": str(rng.randint(3, 12))}


_WEATHER_TOOLS = (FORECAST, CURRENT_WEATHER)
_CONVERSION_TOOLS = (EXCHANGE, CONVERT, CURRENT_WEATHER)
_CALENDAR_TOOLS = (CREATE_EVENT, FIND_EVENTS)
_ALL_TOOLS = (CREATE_EVENT, FIND_EVENTS, CURRENT_WEATHER, FORECAST)

TEMPLATES = (
    Template(
        "tools",
        1,
        (
            "{w2} asks: how is the weather in {w1} now?",
            "Tell {w2} how the weather is in {w1} now.",
        ),
        _draw_now,
        _now,
        tools=_WEATHER_TOOLS,
    ),
    Template(
        "tools",
        2,
        (
            "Have the right tool convert a measured value of {n1} {u1} into {u2} for me.",
            "Use a tool for this conversion: what are {n1} {u1}, expressed in {u2}, please?",
        ),
        _draw_unit,
        _unit,
        tools=_CONVERSION_TOOLS,
    ),
    Template(
        "tools",
        2,
        (
            "Have the right tool change an amount of {n1} {u1} into {u2} for my journey.",
            "Use a tool for this exchange: what would I get for {n1} {u1} in {u2}, please?",
        ),
        _draw_money,
        _money,
        tools=_CONVERSION_TOOLS,
    ),
    Template(
        "tools",
        3,
        (
            "Look into the calendar of {w1}, the {u1} one, and list what is planned for the {n1} "
            "days that begin with {d1}; that day is the first of them.",
            "What is in the {u1} calendar of {w1} during the {n1} days from {d1} on, if that "
            "day itself is counted as the first of these days?",
        ),
        _draw_events,
        _events,
        tools=_CALENDAR_TOOLS,
    ),
    Template(
        "tools",
        4,
        (
            "Enter into the {u1} calendar of {w1} an event with the title {w2}, which begins on "
            "{d1} and lasts {n1} days, the day it begins on counted as the first. {w3} has to be "
            "there, while {w4} is invited as a guest who may stay away; list them in this order.",
            "For the {u1} calendar of {w1}, please make an entry with the title {w2}. It goes on "
            "for {n1} days and its first day, which counts, is {d1}. The guests are first {w3}, "
            "without whom it cannot take place, and then {w4}, for whom coming is optional.",
        ),
        _draw_event,
        _event,
        tools=_ALL_TOOLS,
    ),
    Template(
        "tools",
        4,
        (
            "Today is {d1}. I want to compare the weather that is expected in {w1} and in {w2} "
            "exactly {n1} days from today, both in degrees Fahrenheit, and in this order of the "
            "two cities. Ask the tool about both of them at once, each one in its own call.",
            "Two calls at once, please, in the order of the cities: what will the weather be like "
            "in {w1}, and what will it be like in {w2}, {n1} days after today, which is {d1}? The "
            "temperatures are for an American, so they must be in degrees Fahrenheit.",
        ),
        _draw_two_forecasts,
        _two_forecasts,
        tools=_ALL_TOOLS,
    ),
)
