"""An explanation in words, for people."""

from collections.abc import Iterator

from app.jsontext import Json


def sentence(told: Json) -> str:
    """The explanation in words, for people."""
    first = told["first"]
    if first["do"] != "ask":
        return "No tier can be asked: " + "; ".join(
            f"{out['tier']}: {out['why']}" for out in told["ruled_out"]
        )
    tier = next(each for each in told["tiers"] if each["tier"] == first["tier"])
    return " ".join(_sentences(told, tier))


def _sentences(told: Json, tier: Json) -> Iterator[str]:
    if told["kind"] == "pinned":
        yield f"{tier['tier']} was asked for by name, so it answers."
        return
    accuracy = tier["accuracy"]
    right = (
        ""
        if accuracy is None
        else (
            f", which is right in {accuracy:.0%} of such cases"
            f" ({tier['low']:.0%} to {tier['high']:.0%})"
        )
    )
    yield f"{told['policy']} would ask {tier['tier']} first{right}."
    if accuracy is not None:
        yield f"It looked at {len(told['neighbours'])} similar requests."
    for out in told["ruled_out"]:
        yield f"{out['tier']} is out: {out['why']}."
    for flip in told["flips"]:
        name = flip["name"] if flip["tier"] is None else f"the {flip['name']} of {flip['tier']}"
        then = flip["then"]
        instead = "something else" if then is None else f"{then['do']} {then['tier']}"
        yield f"At {name} {flip['at']:.3g} instead of {flip['now']:.3g} it would {instead}."
