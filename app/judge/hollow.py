"""Answers that say nothing: nothing to the eye, an opener alone, or the question said again."""

import re
import unicodedata

from app.answers import Answer
from app.wire import ChatRequest, text_of

ECHO_WORDS = 4
"""A shorter question can be its own answer: a greeting is."""
OPENER_CHARACTERS = 80

INVISIBLE = dict.fromkeys(
    [
        *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFEFF, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
        *range(0xFE00, 0xFE10),
        *range(0xFFF9, 0xFFFC),
        *range(0xE0000, 0xE0200),  # tags and variation selectors: whole texts can hide in them
    ]
)
"""For `str.translate`: zero-width, bidirectional, filler and tag characters, all left out."""

_OPENERS = frozenset(
    opener.strip()
    for opener in """
    answer|final answer|here is the answer|here is the solution|here is my answer|solution
    thought process|thoughts|thinking process|reasoning|reasoning process|explanation|analysis
    step 1|first step|step by step|let us begin|let us start|let us get started
    let us think|let us think about this|let us think step by step|let us think carefully
    let us solve this|let us solve this problem|let us solve it|let us solve the problem
    let us solve this step by step|let us solve this problem step by step
    let us solve it step by step|let us work through this|let us work through this step by step
    let us work this out step by step|let us break this down|let us break it down
    let us break this down step by step|let us analyze this|let us analyze this step by step
    to solve this|to solve this problem|to answer this question|to find the answer
    the answer is|the final answer is|the solution is|the correct answer is
    i will solve this step by step|we will solve this step by step
    解|解答|解法|答案|回答|思考过程|让我们一步一步地思考|让我们逐步解决这个问题|かいせつ|解説|考え方
    respuesta|solución|razonamiento|réponse|solution étape par étape|raisonnement|lösung|antwort
    lösungsweg|gedankengang|resposta|raciocínio|risposta|ответ|решение
    """.replace("\n", "|").split("|")
) - {""}
_PUNCTUATION = frozenset({".", ",", ":", ";", "…", "...", "--", "---", "##", "###", "**"})
_SPACE = re.compile(r"\s+")
_EDGES = re.compile(r"^[\s#*_>`\"'(\[{]+|[\s#*_`\"':;.,!…。、)\]}-]+$")
_NO_WORD = re.compile(r"[^\w]+")
_WORD = re.compile(r"\w+")


def visible(text: str) -> str:
    """The text without characters that nobody sees; ASCII has none."""
    return text if text.isascii() else text.translate(INVISIBLE)


def hollow(request: ChatRequest, answer: Answer) -> str | None:
    """In what way the answer says nothing; None for one that may say something.

    Deliberately narrow: "42", "B" or "Yes." are answers. Where instructions stand apart from the
    text they are about, in a system prompt or an earlier turn, to say it again can be right.
    Source: Zhao et al. 2025, "One token to fool LLM-as-a-judge": judges accept such openers.
    """
    text = visible(answer.text).strip()
    if not text:
        return "the answer is empty to the eye"
    if len(text) <= OPENER_CHARACTERS and _opens_only(text):
        return "the answer is an opener, and nothing follows"
    if len(request.messages) == 1 and _repeats(text_of(request.messages[0]), text):
        return "the answer repeats the question"
    return None


def _opens_only(text: str) -> bool:
    if _SPACE.sub("", text) in _PUNCTUATION:
        return True
    words = _SPACE.sub(" ", unicodedata.normalize("NFKC", text)).casefold()
    words = (
        words.replace("\u2019", "'")
        .replace("let's", "let us")
        .replace("i'll", "i will")
        .replace("we'll", "we will")
    )
    return _EDGES.sub("", words) in _OPENERS


def _repeats(question: str, answer: str) -> bool:
    asked, said = visible(question), visible(answer)
    # Most begin with another word, and one look is enough.
    if _first_word(asked) != _first_word(said) or len(question.split()) < ECHO_WORDS:
        return False
    asked, said = (_NO_WORD.sub(" ", text).casefold().strip() for text in (asked, said))
    return asked == said != ""


def _first_word(text: str) -> str:
    word = _WORD.search(text)
    return word[0].casefold() if word else ""
