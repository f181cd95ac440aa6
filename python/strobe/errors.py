"""What Strobe raises. Every class is also the built-in one that a caller would expect."""

from __future__ import annotations


class StrobeError(Exception):
    """Any error of Strobe's."""


class ArgumentError(StrobeError, ValueError):
    """An argument is not legal; the text names it and says what would be."""


class TraceError(StrobeError, TypeError):
    """A score_mod or mask_mod does something that cannot be compiled; the text names the file and line."""


class CompileError(StrobeError, RuntimeError):
    """The algorithm is outside what the compiler can do; the text says why."""


class GradientError(StrobeError, NotImplementedError):
    """A gradient was asked for; there is no backward pass yet."""


def operator_error(error: RuntimeError) -> Exception:
    """What an operator threw through LibTorch, as one of our classes if it is about the arguments or the algorithm."""
    text = str(error)
    if text.startswith("Output "):
        return CompileError(text)
    return ArgumentError(text) if text.startswith(("In ", "algorithm text")) else error
