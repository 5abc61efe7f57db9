"""Questions about units, from metres in kilometres to the cost of a trip in miles."""

from fractions import Fraction
from random import Random

from app.sandbox.templates import Slots, Solution, Template, number, solution

# How many of the second make one of the first; the third is what a hurried reader takes instead.
_METRIC = {
    ("kilometres", "metres"): (1000, 100),
    ("metres", "centimetres"): (100, 1000),
    ("kilograms", "grams"): (1000, 100),
    ("litres", "millilitres"): (1000, 100),
    ("hours", "minutes"): (60, 100),
    ("minutes", "seconds"): (60, 100),
}
_TWO_STEPS = {
    ("days", "minutes"): (1440, 24),
    ("weeks", "hours"): (168, 7),
    ("yards", "inches"): (36, 12),
    ("kilometres", "centimetres"): (100_000, 10_000),
    ("tonnes", "grams"): (1_000_000, 1000),
}
_KILOMETRES_A_MILE = Fraction(1609, 1000)


def _conversion(slots: Slots) -> Solution:
    amount = int(slots["n1"])
    pair = (slots["u1"], slots["u2"])
    factor, mistaken = _METRIC.get(pair) or _TWO_STEPS[pair]
    return _numbers(amount * factor, amount * mistaken, amount, amount * factor * 10)


def _duration(slots: Slots) -> Solution:
    hours, minutes = int(slots["n1"]), int(slots["n2"])
    right = hours * 3600 + minutes * 60
    return _numbers(right, hours * 60 + minutes, hours * 3600 + minutes, right + 60)


def _speed(slots: Slots) -> Solution:
    kilometres, minutes = int(slots["n1"]), int(slots["n2"])
    right = Fraction(kilometres * 1000, minutes * 60)
    an_hour = Fraction(kilometres * 60, minutes)
    return _numbers(right, an_hour, right / 10, right * 60, decimals=1)


def _glasses(slots: Slots) -> Solution:
    litres, millilitres, people = (int(slots[f"n{i}"]) for i in (1, 2, 3))
    right = litres * 1000 // millilitres - people
    return _numbers(right, right + people, litres * 100 // millilitres - people, right + 1)


def _trip(slots: Slots) -> Solution:
    litres, price, miles = (Fraction(slots[f"n{i}"]) for i in (1, 2, 3))
    unconverted = litres * price * miles / 100
    right = unconverted * _KILOMETRES_A_MILE
    inverted = unconverted / _KILOMETRES_A_MILE
    return _numbers(right, unconverted, inverted, right * 10, decimals=2)


def _pool(slots: Slots) -> Solution:
    length_m, width_m, depth_cm, litres_a_second = (Fraction(slots[f"n{i}"]) for i in (1, 2, 3, 4))
    right = length_m * width_m * depth_cm * 10 / litres_a_second / 60
    return _numbers(right, right * 10, right * 60, right / 60, decimals=1)


def _numbers(right: Fraction | int, *wrong: Fraction | int, decimals: int = 0) -> Solution:
    return solution(number(right, decimals), [number(value, decimals) for value in wrong])


def _draw_metric(rng: Random) -> Slots:
    first, second = rng.choice(sorted(_METRIC))
    return {"n1": str(rng.randint(2, 400)), "u1": first, "u2": second}


def _draw_two_steps(rng: Random) -> Slots:
    first, second = rng.choice(sorted(_TWO_STEPS))
    return {"n1": str(rng.randint(2, 90)), "u1": first, "u2": second}


def _draw_duration(rng: Random) -> Slots:
    return {"n1": str(rng.randint(2, 60)), "n2": str(rng.randint(2, 59))}


def _draw_speed(rng: Random) -> Slots:
    return {"n1": str(rng.randint(20, 400)), "n2": str(rng.randint(15, 240))}


def _draw_glasses(rng: Random) -> Slots:
    millilitres = rng.choice((125, 150, 200, 250, 300))
    return {
        "n1": str(rng.randint(12, 90)),
        "n2": str(millilitres),
        "n3": str(rng.randint(3, 30)),
    }


def _draw_trip(rng: Random) -> Slots:
    return {
        "n1": f"{rng.randint(40, 110) / 10:.1f}",
        "n2": f"{rng.randint(140, 215) / 100:.2f}",
        "n3": str(rng.randint(30, 900)),
    }


def _draw_pool(rng: Random) -> Slots:
    return {
        "n1": str(rng.randint(6, 50)),
        "n2": str(rng.randint(3, 25)),
        "n3": str(rng.randrange(90, 300, 5)),
        "n4": str(rng.randint(3, 40)),
    }


TEMPLATES = (
    Template(
        "units",
        1,
        (
            "Convert {n1} {u1} to {u2}.",
            "How many {u2} are {n1} {u1}?",
            "{n1} {u1} in {u2}?",
        ),
        _draw_metric,
        _conversion,
    ),
    Template(
        "units",
        2,
        (
            "Please convert a span of {n1} {u1} all the way down into {u2}.",
            "If something measures {n1} {u1}, what is that measured in {u2}?",
        ),
        _draw_two_steps,
        _conversion,
    ),
    Template(
        "units",
        2,
        (
            "How many seconds are {n1} hours and {n2} minutes?",
            "A film lasts {n1} hours and {n2} minutes. Convert its length to seconds.",
        ),
        _draw_duration,
        _duration,
    ),
    Template(
        "units",
        3,
        (
            "A train covers {n1} kilometres in {n2} minutes. What is its average speed in metres "
            "per second, rounded to one decimal?",
            "In metres per second and rounded to one decimal: how fast is a train that needs "
            "{n2} minutes for a line of {n1} kilometres?",
        ),
        _draw_speed,
        _speed,
    ),
    Template(
        "units",
        3,
        (
            "A barrel holds {n1} litres of juice, and a glass takes {n2} millilitres. After "
            "{n3} people had one full glass each, how many full glasses can still be poured?",
            "How many full glasses of {n2} millilitres can still be poured from a barrel of {n1} "
            "litres once {n3} full glasses have been served to guests?",
        ),
        _draw_glasses,
        _glasses,
    ),
    Template(
        "units",
        4,
        (
            "A car burns {n1} litres of petrol per 100 kilometres, and petrol costs {n2} euros a "
            "litre. Taking a mile as 1.609 kilometres, what does the fuel for a trip of {n3} miles "
            "cost in euros, rounded to two decimals?",
            "Petrol costs {n2} euros a litre where we live and our car needs {n1} litres for every "
            "100 kilometres. The road sign says {n3} miles, and one mile is 1.609 kilometres. How "
            "many euros of fuel is that, rounded to two decimals?",
        ),
        _draw_trip,
        _trip,
    ),
    Template(
        "units",
        4,
        (
            "A rectangular pool is {n1} metres long, {n2} metres wide and is to be filled to a "
            "depth of {n3} centimetres by a pump that delivers {n4} litres per second. How many "
            "minutes does the filling take, rounded to one decimal?",
            "At {n4} litres per second, how many minutes, rounded to one decimal, does a pump need "
            "to fill a basin whose floor measures {n1} metres by {n2} metres until the water "
            "stands {n3} centimetres deep?",
        ),
        _draw_pool,
        _pool,
    ),
)
