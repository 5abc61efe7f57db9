"""The tools that the sandbox's tool questions offer."""

from app.jsontext import Json
from app.sandbox.templates import strict_object

UNITS = ("metre", "kilometre", "mile", "foot", "gram", "kilogram", "pound", "ounce")
CALENDARS = ("work", "private", "family")
CURRENCIES = ("EUR", "USD", "GBP", "JPY", "CHF")

_STRING: Json = {"type": "string"}
_DATE: Json = {"type": "string", "description": "YYYY-MM-DD"}
_PERIOD = strict_object({"first_day": _DATE, "last_day": _DATE})


def _tool(name: str, description: str, properties: Json) -> Json:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": strict_object(properties),
            "strict": True,
        },
    }


CURRENT_WEATHER = _tool("current_weather", "The weather in a city right now", {"city": _STRING})
FORECAST = _tool(
    "weather_forecast",
    "The weather in a city on one of the coming days",
    {
        "city": _STRING,
        "day": _DATE,
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
)
CONVERT = _tool(
    "convert_units",
    "Converts a length or a weight",
    {
        "value": {"type": "number"},
        "from_unit": {"type": "string", "enum": list(UNITS)},
        "to_unit": {"type": "string", "enum": list(UNITS)},
    },
)
EXCHANGE = _tool(
    "convert_currency",
    "Converts an amount of money",
    {
        "amount": {"type": "number"},
        "from_currency": {"type": "string", "enum": list(CURRENCIES)},
        "to_currency": {"type": "string", "enum": list(CURRENCIES)},
    },
)
FIND_EVENTS = _tool(
    "find_events",
    "The events in somebody's calendar",
    {
        "owner": _STRING,
        "calendar": {"type": "string", "enum": list(CALENDARS)},
        "period": _PERIOD,
    },
)
CREATE_EVENT = _tool(
    "create_event",
    "Enters an event into somebody's calendar",
    {
        "owner": _STRING,
        "calendar": {"type": "string", "enum": list(CALENDARS)},
        "title": _STRING,
        "period": _PERIOD,
        "guests": {
            "type": "array",
            "items": strict_object({"name": _STRING, "required": {"type": "boolean"}}),
        },
    },
)
