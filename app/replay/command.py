"""The command line of a replay: its options, and how they become recordings, a judge and a plan."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from app.embedder import build_embedder
from app.errors import SettingsError
from app.replay.experiment import Plan, Progress, planned, run_plan
from app.replay.ladders import choose_models
from app.replay.own import OwnReport, evaluate, is_export, read_export
from app.replay.picture import draw
from app.replay.policies import Choice, build_policy, parse_choice, parse_choices
from app.replay.pool import Pooled, pool, to_json
from app.replay.recordings import Recording, read_recordings, with_all
from app.replay.report import ReplayReport
from app.replay.run import Course, lay_out, vectors
from app.replay.scenarios import Ground, ScenarioName, parse_scenarios
from app.replay.simulated import SimulatedVerdicts, parse_rates
from app.replay.stand_ins import RecordedVerdicts, VerdictSource
from app.replay.yardstick import Frame, build_report
from app.settings import EmbedderSection

SIMULATED = "simulated:"
MOST_ORDERS = 1000
MOST_POINTS = 100
STANDARD = Path("-")
_FILES = ".jsonl or .jsonl.gz: recorded answers, or one's own records as they were exported"
_OF_RECORDINGS = ("tiers", "priors", "sweep", "plot", "scenario")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `autoshift replay`."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=_FILES)
    parser.add_argument(
        "--tiers",
        type=_names,
        default=[],
        metavar="A,B,…",
        help="recorded models, lowest tier first; default: all, by mean cost",
    )
    parser.add_argument(
        "--priors",
        type=_numbers,
        default=[],
        metavar="P,P,…",
        help="accuracy believed of each tier beforehand; default: from 0.6 to 0.9, evenly",
    )
    parser.add_argument(
        "--policy",
        action="append",
        metavar="NAME[@DIAL]",
        help="a policy, again for more, the first to compare with; all: every one that learns; "
        "default: llm_at, value",
    )
    parser.add_argument(
        "--orders", type=_orders, default=5, metavar="N", help="shuffled orders; default: 5"
    )
    parser.add_argument("--sweep", action="store_true", help="every value of each policy's dial")
    parser.add_argument(
        "--judge",
        default="recorded",
        metavar="recorded|simulated:TPR,FPR,CORR",
        help="default: recorded",
    )
    parser.add_argument(
        "--margin",
        type=_points,
        default=1.0,
        metavar="POINTS",
        help="points of accuracy below the first policy that still count as not worse; default: 1",
    )
    parser.add_argument(
        "--scenario",
        action="append",
        metavar="NAME",
        help=f"beside the plain stream, again for more: {', '.join(get_args(ScenarioName))}",
    )
    parser.add_argument(
        "--pool",
        action="store_true",
        help="the files are what --json wrote for several sets: their areas, pooled",
    )
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="default: 7")
    parser.add_argument(
        "--json",
        nargs="?",
        type=Path,
        const=STANDARD,
        metavar="FILE",
        help="write every figure there; without FILE, on stdout",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw cost and accuracy")


class Replay:
    """One call of the command: laid out, so that its length is known, then run."""

    def __init__(self, given: argparse.Namespace) -> None:
        """Errors: SettingsError."""
        _check_folders(given.json, given.plot)
        every = read_recordings(given.files)
        models = choose_models(every, given.tiers)
        shared = with_all(every, models)
        self._frame = Frame(
            judge=given.judge,
            left_out=len(every) - len(shared),
            orders=given.orders,
            seed=given.seed,
            margin=given.margin / 100,
        )
        self.course: Course = lay_out(
            shared,
            models,
            priors=given.priors,
            verdicts=_verdicts(given.judge, shared, models, given.seed),
            embedder=build_embedder(EmbedderSection()),
        )
        choices = parse_choices(given.policy or ["llm_at", "value"], self.course.tiers)
        _check_recorded(choices, shared)
        self.plan = Plan(
            choices,
            orders=given.orders,
            seed=given.seed,
            swept=given.sweep,
            scenarios=parse_scenarios(given.scenario or []),
        )
        for choice in planned(self.plan):
            build_policy(choice, self.course.tiers)

    async def run(self, progress: Progress) -> ReplayReport:
        """Run the plan; what was found."""
        ground = Ground(self.course, await vectors(self.course))
        replayed = await run_plan(ground, self.plan, progress)
        return build_report(self.course, ground.vectors, replayed, self._frame)


def _check_recorded(choices: Sequence[Choice], recordings: Sequence[Recording]) -> None:
    """Errors: SettingsError, where a policy goes by what was not recorded."""
    names = {choice.name for choice in choices}
    answers = [answer for recording in recordings for answer in recording.answers.values()]
    if "margin" in names and all(answer.margin is None for answer in answers):
        raise SettingsError(
            "--policy margin: no answer here has a `margin`, by which it goes; record one an "
            "answer (from -1 to 1), or leave this policy out"
        )
    if "best_of_n" in names and not any(answer.repeats for answer in answers):
        raise SettingsError(
            "--policy best_of_n: no answer here has `repeats`, which it asks for; record further "
            "answers of the same form, or leave this policy out"
        )


def is_own(given: argparse.Namespace) -> bool:
    """Whether the files hold one's own records, not recordings. Errors: SettingsError."""
    kinds = {is_export(path) for path in given.files}
    if len(kinds) > 1:
        raise SettingsError("recordings and exported records cannot be replayed together")
    return kinds.pop()


async def replay_own(given: argparse.Namespace) -> OwnReport:
    """What one's own records say. Errors: SettingsError."""
    _check_folders(given.json)
    for option in _OF_RECORDINGS:
        if getattr(given, option):
            raise SettingsError(f"--{option}: is for recordings, not for one's own records")
    choices = [parse_choice(text) for text in given.policy or []]
    return await evaluate(read_export(given.files), choices, given.seed)


def pool_reports(given: argparse.Namespace) -> list[Pooled]:
    """The areas in reports of several sets, pooled. Errors: SettingsError."""
    _check_folders(given.json)
    for option in (*_OF_RECORDINGS, "policy"):
        if getattr(given, option):
            raise SettingsError(f"--{option}: is for recordings; --pool takes what they came to")
    pooled = pool(given.files)
    if given.json is not None:
        _write_text(given.json, to_json(pooled))
    return pooled


def write(report: ReplayReport | OwnReport, given: argparse.Namespace) -> None:
    """The files that were asked for. Errors: SettingsError where one cannot be written."""
    if given.json is not None:
        _write_text(given.json, report.to_json())
    if given.plot is not None and isinstance(report, ReplayReport):
        draw(report, given.plot)


def _write_text(path: Path, text: str) -> None:
    if path == STANDARD:
        print(text, flush=True)  # noqa: T201
        return
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as exc:
        raise SettingsError(f"--json: {path}: cannot be written: {exc}") from exc


def _check_folders(*paths: Path | None) -> None:
    """Said before the work is done, not after."""
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise SettingsError(f"{path}: cannot be written: there is no folder {path.parent}")


def _verdicts(
    judge: str, recordings: list[Recording], models: tuple[str, ...], seed: int
) -> VerdictSource:
    if judge.startswith(SIMULATED):
        rates = parse_rates(judge.removeprefix(SIMULATED))
        return SimulatedVerdicts(recordings, models, rates, seed)
    if judge != "recorded":
        raise SettingsError(f"--judge: {judge!r} is neither recorded nor {SIMULATED}TPR,FPR,CORR")
    if not any(r.answers[model].judge for r in recordings for model in models):
        raise SettingsError(
            "--judge: these recordings hold no verdicts; simulate a judge, for instance "
            f"--judge {SIMULATED}0.9,0.3,0.5"
        )
    return RecordedVerdicts()


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _names(text)]


def _points(text: str) -> float:
    value = float(text)
    if not 0 <= value <= MOST_POINTS:
        raise argparse.ArgumentTypeError(f"{text}: must be from 0 to {MOST_POINTS}")
    return value


def _orders(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MOST_ORDERS:
        raise argparse.ArgumentTypeError(f"{value}: must be from 1 to {MOST_ORDERS}")
    return value
