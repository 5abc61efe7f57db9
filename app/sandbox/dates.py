"""Questions about dates, from tomorrow's date to counting working days."""

from datetime import date, timedelta
from random import Random

from app.sandbox.templates import Slots, Solution, Template, solution

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAY = timedelta(days=1)
_FRIDAY = 4


def _tomorrow(slots: Slots) -> Solution:
    day = date.fromisoformat(slots["d1"])
    return _dates(day + _DAY, day, day + 2 * _DAY, day - _DAY)


def _spelt_out(slots: Slots) -> Solution:
    day, month, year = slots["l1"].split()
    right = date(int(year), _MONTHS.index(month) + 1, int(day))
    return _dates(right, right + _DAY, _month_off(right), right.replace(year=right.year - 1))


def _slashes(slots: Slots) -> Solution:
    day, month, year = (int(part) for part in slots["s1"].split("/"))
    right = date(year, month, day)
    # Day and month swapped is the slip; beyond the twelfth it is not a date, and nobody makes it.
    swapped = date(year, day, month) if day <= len(_MONTHS) else right
    return _dates(right, swapped, right + _DAY, _month_off(right))


def _days_between(slots: Slots) -> Solution:
    days = (date.fromisoformat(slots["d2"]) - date.fromisoformat(slots["d1"])).days
    return solution(str(days), [str(days + 1), str(days - 1), str(days + 2)])


def _weekday_after(slots: Slots) -> Solution:
    right = date.fromisoformat(slots["d1"]) + int(slots["n1"]) * _DAY
    near = (right.weekday() + step for step in (0, 1, 6, 2))
    names = [WEEKDAYS[day % 7] for day in near]
    return solution(names[0], names[1:])


def _weeks_and_days(slots: Slots) -> Solution:
    start = date.fromisoformat(slots["d1"])
    weeks, days = int(slots["n1"]), int(slots["n2"])
    right = start + (7 * weeks + days) * _DAY
    return _dates(right, start + (5 * weeks + days) * _DAY, right + _DAY, right - _DAY)


def _working_day(slots: Slots) -> Solution:
    start, count = date.fromisoformat(slots["d1"]), int(slots["n1"])
    right = _add_working_days(start, count)
    return _dates(
        right,
        start + count * _DAY,
        _add_working_days(start, count - 1),
        _add_working_days(start, count + 1),
    )


def _invoice(slots: Slots) -> Solution:
    start = date.fromisoformat(slots["d1"])
    after = start + int(slots["n1"]) * _DAY
    last = (after.replace(day=28) + 4 * _DAY).replace(day=1) - _DAY
    right = last
    while right.weekday() > _FRIDAY:
        right -= _DAY
    return _dates(right, last, after, right + _DAY, right - _DAY)


def _add_working_days(start: date, count: int) -> date:
    day = start
    while count > 0:
        day += _DAY
        count -= day.weekday() <= _FRIDAY
    return day


def _month_off(day: date) -> date:
    return day.replace(month=day.month % 12 + 1, day=min(day.day, 28))


def _dates(right: date, *wrong: date) -> Solution:
    return solution(right.isoformat(), [day.isoformat() for day in wrong])


def _date(rng: Random) -> date:
    return date(2015, 1, 1) + rng.randrange(5400) * _DAY


def _draw_date(rng: Random) -> Slots:
    return {"d1": _date(rng).isoformat()}


def _draw_spelt_out(rng: Random) -> Slots:
    day = _date(rng)
    return {"l1": f"{day.day} {_MONTHS[day.month - 1]} {day.year}"}


def _draw_slashes(rng: Random) -> Slots:
    return {"s1": f"{rng.randint(1, 12):02}/{rng.randint(1, 12):02}/{rng.randint(1990, 2030)}"}


def _draw_days_between(rng: Random) -> Slots:
    day = _date(rng)
    return {"d1": day.isoformat(), "d2": (day + rng.randint(20, 200) * _DAY).isoformat()}


def _draw_weekday_after(rng: Random) -> Slots:
    return {"d1": _date(rng).isoformat(), "n1": str(rng.randint(30, 400))}


def _draw_weeks_and_days(rng: Random) -> Slots:
    weeks, days = rng.randint(3, 30), rng.randint(2, 6)
    return {"d1": _date(rng).isoformat(), "n1": str(weeks), "n2": str(days)}


def _draw_working_day(rng: Random) -> Slots:
    return {"d1": _date(rng).isoformat(), "n1": str(rng.randint(11, 60))}


def _draw_invoice(rng: Random) -> Slots:
    return {"d1": _date(rng).isoformat(), "n1": str(rng.choice((14, 21, 30, 45, 60, 75, 90)))}


TEMPLATES = (
    Template(
        "dates",
        1,
        (
            "What is the date of the day after {d1}?",
            "Which date follows {d1}?",
            "Today is {d1}. What is tomorrow's date?",
        ),
        _draw_date,
        _tomorrow,
    ),
    Template(
        "dates",
        1,
        (
            "Write the date {l1} as YYYY-MM-DD.",
            "What is the date {l1} in ISO format?",
        ),
        _draw_spelt_out,
        _spelt_out,
    ),
    Template(
        "dates",
        2,
        (
            "A form gives the date {s1} in the order day, month, year. Write it as YYYY-MM-DD.",
            "The date {s1} is written the European way, day first. What is it in ISO format?",
        ),
        _draw_slashes,
        _slashes,
    ),
    Template(
        "dates",
        2,
        (
            "How many days is it from {d1} to {d2}, not counting the first day?",
            "Count the days after the date {d1} up to and including the date {d2}.",
        ),
        _draw_days_between,
        _days_between,
    ),
    Template(
        "dates",
        3,
        (
            "A machine was serviced on {d1} and the next service is due {n1} days later. On which "
            "day of the week is the next service?",
            "On which day of the week does the date fall that lies {n1} days after the calendar "
            "date {d1}?",
        ),
        _draw_weekday_after,
        _weekday_after,
    ),
    Template(
        "dates",
        3,
        (
            "A course begins on {d1} and lasts {n1} weeks and {n2} days. On which date is it over, "
            "as YYYY-MM-DD, if the first day is not counted?",
            "Starting from the calendar date {d1}, go forward {n1} weeks and {n2} days. Which date "
            "do you reach, as YYYY-MM-DD?",
        ),
        _draw_weeks_and_days,
        _weeks_and_days,
    ),
    Template(
        "dates",
        4,
        (
            "A contract is signed on {d1}. Counting only the days from Monday to Friday, ignoring "
            "holidays and beginning with the day after the signature, on which date, written as "
            "YYYY-MM-DD, does working day number {n1} fall?",
            "The supplier promises delivery within {n1} working days. Working days are Monday to "
            "Friday, there are no holidays, and the day of the order, {d1}, does not count. What "
            "is the last permitted date of delivery, written as YYYY-MM-DD?",
        ),
        _draw_working_day,
        _working_day,
    ),
    Template(
        "dates",
        4,
        (
            "An invoice is dated {d1}. It is payable on the last weekday, Monday to Friday, of the "
            "month in which the date {n1} days after the invoice lies. On which date, written as "
            "YYYY-MM-DD, is it payable?",
            "Add {n1} days to the invoice date {d1}, take the month you arrive in, and find that "
            "month's last day which is neither a Saturday nor a Sunday. Which date is it, written "
            "as YYYY-MM-DD?",
        ),
        _draw_invoice,
        _invoice,
    ),
)
