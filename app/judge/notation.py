"""One spelling for what LaTeX and Unicode spell in many ways."""

import re
import unicodedata

_MINUS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-")
_SIGNS = {0xD7: "*", 0xB7: "*", 0x22C5: "*", 0xF7: "/"}
_UNSEEN = (0x200B, 0x2061, 0x2062, 0xFEFF)
_SPELLED = _MINUS | _SIGNS | {0x2044: "/"} | dict.fromkeys(_UNSEEN, "")
_RAISED = re.compile("[\u207b\u00b9\u00b2\u00b3\u2070\u2074-\u2079]+")
_PART = re.compile("[\u00bc-\u00be\u2150-\u215e\u2189]")
_GROUPED = re.compile("(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))")

_COMMANDS = {
    "left": "",
    "right": "",
    "displaystyle": "",
    "dfrac": r"\frac",
    "tfrac": r"\frac",
    "cfrac": r"\frac",
    "cdot": "*",
    "times": "*",
    "div": "/",
    "pi": " pi ",
    "infty": "∞",
    "pm": "±",
    "cup": "\u222a",
    "cap": "\u2229",
    "le": "≤",
    "leq": "≤",
    "ge": "≥",
    "geq": "≥",
    "ne": "≠",
    "neq": "≠",
    "quad": " ",
    "qquad": " ",
    "degree": "°",
}
_COMMAND = re.compile(
    r"\\(" + "|".join(sorted(_COMMANDS, key=len, reverse=True)) + r")(?![A-Za-z])"
)
_WORDS = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:rm|bf|it|sf|tt|bb|cal)|mbox|operatorname)"
    r"\s*+\{([^{}]*+)\}"
)
_SPACES = re.compile(r"\\[ ;:,]|(?<=\d)~(?=\d)")
_DEGREES = re.compile(r"\^\s*+(?:\\circ(?![A-Za-z])|\{\s*+\\circ\s*+\})")
_DELIMITERS = re.compile(r"\\[()\[\]!]|\$\$")
_BARE_ARGUMENTS = re.compile(
    r"\\frac\s*+(?:\{([^{}]*+)\}|(\d))\s*+(?:\{([^{}]*+)\}|(\d))|\\sqrt\s*+(\d)"
)
_MIXED = re.compile(r"(?<![\d.,^_])(\d++)\s*+\\frac\{(\d{1,4})\}\{(\d{1,4})\}")
_MATRIX = re.compile(r"\\begin\{([pb]?matrix)\}([^{}]*)\\end\{\1\}")


def plain_notation(text: str) -> str:
    r"""The text with Unicode's signs and LaTeX's commands in ASCII where there is one for them.

    "½" is " 1/2", "x²" is "x^2", "\dfrac12" is "\frac{1}{2}", "5\text{ cm}" is "5 cm".
    """
    if not text.isascii():
        text = _plain_unicode(text)
    return _plain_latex(text) if "\\" in text or "{,}" in text else text


def _plain_unicode(text: str) -> str:
    text = _GROUPED.sub("", text)
    text = _RAISED.sub(lambda raised: "^" + unicodedata.normalize("NFKC", raised[0]), text)
    text = _PART.sub(lambda part: " " + unicodedata.normalize("NFKC", part[0]), text)
    return unicodedata.normalize("NFKC", text).translate(_SPELLED)


def _plain_latex(text: str) -> str:
    text = text.replace("{,}", ",").replace(r"\%", "%").replace(r"\$", "$")
    text = text.replace(r"\{", "{").replace(r"\}", "}")
    text = re.sub(r"(?<=\d)\\[,;: ](?=\d{3}(?!\d))", "", text)
    text = _DELIMITERS.sub("", _DEGREES.sub("°", text))
    text = _WORDS.sub(r"\1", _MATRIX.sub(_rows, text))
    text = _COMMAND.sub(lambda command: _COMMANDS[command[1]], _SPACES.sub(" ", text))
    return _MIXED.sub(_mixed, _BARE_ARGUMENTS.sub(_braced, text))


def _rows(matrix: re.Match[str]) -> str:
    rows = [row for row in matrix[2].split(r"\\") if row.strip()]
    return "Matrix([" + ", ".join("[" + row.replace("&", ", ") + "]" for row in rows) + "])"


def _braced(command: re.Match[str]) -> str:
    if command[5]:
        return rf"\sqrt{{{command[5]}}}"
    return rf"\frac{{{command[1] or command[2]}}}{{{command[3] or command[4]}}}"


def _mixed(number: re.Match[str]) -> str:
    r"""3\frac{1}{2} is three and a half; 3\frac{4}{2} a product."""
    whole, one, other = number.groups()
    return f"{whole} {one}/{other}" if int(one) < int(other) else number[0]
