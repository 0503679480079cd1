"""Which metrics PromQL speaks of."""

import re

_KEYWORDS = {
    *(
        "and",
        "or",
        "unless",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "offset",
        "bool",
    ),
    # Aggregations, whose `by` may stand between their name and their bracket.
    *("sum", "min", "max", "avg", "count", "group", "topk"),
}


def metrics_of(expression: str) -> set[str]:
    """Return the names of the metrics in an expression."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    text = re.sub(r"\{[^}]*\}", "", text)
    text = re.sub(r"\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", r"\1 ", text)
    names = re.findall(r"(?<![\w.$])([a-zA-Z_:][\w:]*)(?!\w*\s*\()", text)
    return {
        name for name in names if name not in _KEYWORDS and not re.fullmatch(r"\d+[smhdwy]|[smhdwy]", name)
    }
