"""Limits that look at the lines of an answer: too little indentation, too much time. Meant for code completion."""


class LineLimits:
    """Of one request; both are llama-server's.

    n_indent          white space that every line but the first begins with, or the answer ends before it; 0: off
    t_max_predict_ms  time since the first token after which the next new line ends the answer; 0 or less: off
    """

    def __init__(self, n_indent: int, t_max_predict_ms: int):
        self._n_indent, self._t_max_predict_ms = n_indent, t_max_predict_ms
        self._indent: int | None = None  # white space so far at the beginning of a line; None: further in it

    def push(self, text: str, elapsed_ms: float) -> tuple[str, bool]:
        """More of the answer -> (what may be shown of it, whether a limit is reached)."""
        for i, character in enumerate(text if self._n_indent > 0 else ""):
            if self._indent is not None:
                if character in " \t":
                    self._indent += 1
                    continue
                if self._indent < self._n_indent:
                    return text[:i], True
                self._indent = None
            if character == "\n":
                self._indent = 0
        return text, 0 < self._t_max_predict_ms < elapsed_ms and "\n" in text
