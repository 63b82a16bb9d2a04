"""Checks of the options of models and cells; a refusal names the option, what was expected, and what was found."""

from core.errors import InputError


def require_positive(**numbers: int) -> None:
    """Refuse a model option below 1.

    Raises:
        InputError: an option is below 1; the message names it.
    """
    wrong = {name: number for name, number in numbers.items() if number < 1}
    if wrong:
        raise InputError(f"expected at least 1, got {', '.join(f'{name}={number}' for name, number in wrong.items())}")


def require_odd(**sizes: int) -> None:
    """Refuse a kernel without a middle pixel.

    Raises:
        InputError: a size is even or below 1; the message names it.
    """
    wrong = {name: size for name, size in sizes.items() if size < 1 or size % 2 == 0}
    if wrong:
        raise InputError(f"expected odd numbers, got {', '.join(f'{name}={size}' for name, size in wrong.items())}")


def require_choice(choices: tuple[str, ...], **options: str) -> None:
    """Refuse an option with another value than its choices.

    Raises:
        InputError: no such choice; the message names the option.
    """
    for name, value in options.items():
        if value not in choices:
            raise InputError(f"{name}: expected {' or '.join(choices)}, got {value!r}")
