"""Integers between two bounds, as a GBNF expression. Follows llama.cpp's, which reads at most 16 digits."""

MAX_DIGITS = 16


def integer_range(least: int | None, most: int | None) -> str:
    """Integers from least to most, one of them given."""
    if least is None:
        return _up_to(most, MAX_DIGITS, True)
    if most is None:
        return _from(least, MAX_DIGITS, True)
    return _between(least, most)


def _between(least: int, most: int) -> str:
    if most < 0:
        return f'"-" ({_between(-most, -least)})'
    if least < 0:
        return f'"-" ({_between(0, -least)}) | {_between(0, most)}'
    low, parts = str(least), []
    for n in range(len(low), len(str(most))):
        parts.append(_same_length(low, "9" * n))
        low = "1" + "0" * n
    return " | ".join([*parts, _same_length(low, str(most))])


def _same_length(low: str, high: str) -> str:
    """Numbers of as many digits as both bounds have."""
    n_equal = next((i for i, (a, b) in enumerate(zip(low, high, strict=True)) if a != b), len(low))
    parts = [f'"{low[:n_equal]}"'] if n_equal else []
    if n_equal < len(low):
        parts.append(_different(low[n_equal:], high[n_equal:]))
    return " ".join(parts)


def _different(low: str, high: str) -> str:
    """The same where the first digits differ."""
    n = len(low) - 1
    if n == 0:
        return _digit(low[0], high[0])
    zeros, nines = "0" * n, "9" * n
    if low[1:] == zeros:
        parts = [f"{_digit(low[0], _step(high[0], -1))} {_digits(n, n)}"]
    else:
        parts = [f"[{low[0]}] ({_same_length(low[1:], nines)})"]
        last = high[0] if high[1:] == nines else _step(high[0], -1)
        if low[0] < _step(high[0], -1):
            parts.append(f"{_digit(_step(low[0], 1), last)} {_digits(n, n)}")
            if last == high[0]:
                return f"({' | '.join(parts)})"
    return f"({' | '.join([*parts, f'{_digit(high[0], high[0])} {_same_length(zeros, high[1:])}'])})"


def _from(least: int, n_digits: int, first: bool) -> str:
    """Integers from least on.  first: no zero may lead; otherwise these are the last n_digits digits of a number"""
    rest = max(n_digits - 1, 1)
    if least < 0:
        return f'"-" ({_up_to(-least, n_digits, False)}) | [0] | [1-9] {_digits(0, n_digits - 1)}'
    if least == 0:
        return f"[0] | [1-9] {_digits(0, rest)}" if first else _digits(1, n_digits)
    text, zero = str(least), "1" if first else "0"
    digit, parts = text[0], []
    if len(text) == 1:
        if digit > zero:
            parts.append(f"{_digit(zero, _step(digit, -1))} {_digits(1, rest)}")
        return " | ".join([*parts, f"{_digit(digit, '9')} {_digits(0, rest)}"])
    if digit > "1":
        parts.append(f"{_digit(zero, _step(digit, -1))} {_digits(len(text), rest)}")
    parts.append(f"{_digit(digit, digit)} ({_from(int(text[1:]), rest, False)})")
    if digit < "9":
        parts.append(f"{_digit(_step(digit, 1), '9')} {_digits(len(text) - 1, rest)}")
    return " | ".join(parts)


def _up_to(most: int, n_digits: int, first: bool) -> str:
    if most < 0:
        return f'"-" ({_from(-most, n_digits, False)})'
    negative = f'"-" [1-9] {_digits(0, max(n_digits - 1, 1))} | ' if first else ""
    return negative + _between(0, most)


def _digit(low: str, high: str) -> str:
    return f"[{low}]" if low == high else f"[{low}-{high}]"


def _digits(least: int, most: int) -> str:
    return "[0-9]" if least == most == 1 else f"[0-9]{{{least}}}" if least == most else f"[0-9]{{{least},{most}}}"


def _step(digit: str, by: int) -> str:
    return chr(ord(digit) + by)
