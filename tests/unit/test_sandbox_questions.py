"""The sandbox's questions: solvable from their text, with slips that are wrong."""

from hashlib import blake2b

import pytest

from app.sandbox.questions import DIFFICULTIES, TOPICS, Question, draw_questions, is_right, solve
from app.sandbox.templates import Topic
from tests.support.sandbox import MANY, about

FIRST_500_PLAIN_TEXTS = "d2d881dead412aeaf87c6c13"
"""A digest, taken when arithmetic, units, dates and extraction were the only topics."""


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_every_question_can_be_solved_from_what_is_sent(topic: Topic, difficulty: int) -> None:
    asked = about(topic, difficulty)
    assert len(asked) > 50
    for question in asked:
        solved = solve(f"Question: {question.text}\n", question.picture)
        assert solved is not None, question.text
        assert (solved.topic, solved.difficulty) == (topic, difficulty)
        assert solved.solution.answer == question.answer


def test_every_slip_is_a_wrong_answer_and_every_answer_a_right_one() -> None:
    for question in MANY:
        solved = solve(question.text, question.picture)
        assert solved is not None
        assert solved.solution.slips
        assert is_right(question, question.answer)
        for slip in solved.solution.slips:
            assert not is_right(question, slip), (question.text, slip)


def test_a_seed_gives_the_same_questions_and_another_seed_others() -> None:
    assert draw_questions(50, seed=3) == draw_questions(50, seed=3)
    assert draw_questions(50, seed=3) != draw_questions(50, seed=4)
    assert draw_questions(20, seed=3) == draw_questions(50, seed=3)[:20]
    assert len({(question.text, question.picture) for question in MANY}) == len(MANY)


def test_new_topics_leave_the_stream_of_the_old_ones_as_it_was() -> None:
    plain = [question for question in MANY if question.topic in TOPICS[:4]]
    texts = "\n".join(question.text for question in plain[:500])
    assert blake2b(texts.encode(), digest_size=12).hexdigest() == FIRST_500_PLAIN_TEXTS


def test_harder_questions_are_longer() -> None:
    for topic in TOPICS:
        lengths = []
        for difficulty in DIFFICULTIES:
            texts = [question.text for question in about(topic, difficulty)]
            lengths.append(sum(map(len, texts)) / len(texts))
        assert lengths == sorted(lengths)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("What is 17 + 25?", "42"),
        ("Multiply 12 by 12. What is the product?", "144"),
        ("Convert 3 kilometres to metres.", "3000"),
        ("How many seconds are 2 hours and 30 minutes?", "9000"),
        ("What is the date of the day after 2024-02-28?", "2024-02-29"),
        ("Write the date 5 March 2024 as YYYY-MM-DD.", "2024-03-05"),
        (
            "Starting from the calendar date 2024-01-01, go forward 2 weeks and 3 days. Which date "
            "do you reach, as YYYY-MM-DD?",
            "2024-01-18",
        ),
        (
            "The supplier promises delivery within 6 working days. Working days are Monday to "
            "Friday, there are no holidays, and the day of the order, 2024-03-01, does not count. "
            "What is the last permitted date of delivery, written as YYYY-MM-DD?",
            "2024-03-11",
        ),
        (
            "A train covers 36 kilometres in 60 minutes. What is its average speed in metres per "
            "second, rounded to one decimal?",
            "10.0",
        ),
        (
            "An investment fund starts with 10000 euros. In each of three years it first grows by "
            "10 percent, and at the end of each of these years a fee of 100 euros is taken out. "
            "How many whole euros are in the fund after the three years, rounded down once at the "
            "very end?",
            "12979",
        ),
        (
            "Extract name and city as a JSON object. Text: Ada Adams comes from New York.",
            '{"name":"Ada Adams","city":"New York"}',
        ),
    ],
)
def test_answers_are_as_worked_out_by_hand(text: str, answer: str) -> None:
    solved = solve(text)
    assert solved is not None
    assert solved.solution.answer == answer


def test_what_counts_is_the_final_answer() -> None:
    number = Question("1", "arithmetic", 1, "What is 17 + 25?", "42")
    assert is_right(number, "17 and 25 make 42.")
    assert is_right(number, "Answer: 42.0")
    assert not is_right(number, "42 is not it; it is 43")
    assert not is_right(number, "I do not know")
    weekday = Question("2", "dates", 3, "?", "Sunday")
    assert is_right(weekday, "Not monday but SUNDAY.")
    wanted = '{"name":"Ada","city":"Cork"}'
    loose = Question("3", "extraction", 1, "?", wanted)
    strict = Question("4", "extraction", 1, "?", wanted, {"type": "json_schema"})
    fenced = '```json\n{"city": "Cork", "name": "Ada"}\n```'
    assert is_right(loose, fenced)
    assert not is_right(strict, fenced)
    assert is_right(strict, '{"city": "Cork", "name": "Ada"}')


@pytest.mark.parametrize(
    "text",
    [
        "In Python, what does the expression `__import__('os')` give?",
        "In Python, what does the expression `` give?",
        "Which colour are the squares in this picture?",
        "File a support ticket: the customer Ada sang and complained calmly.",
        "Have the right tool convert a measured value of 3 cats into dogs for me.",
        "",
        "Hello there",
        "What is 2025-13-45?",
        "Which date follows 2025-99-99?",
        "5 cats in me?",
    ],
)
def test_what_is_no_question_of_ours_is_not_solved(text: str) -> None:
    assert solve(text) is None
