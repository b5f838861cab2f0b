"""Two pictures side by side with what a model says of them: as a PNG, or for a terminal."""

from collections.abc import Sequence

from PIL import Image
from rich.color import Color
from rich.style import Style
from rich.text import Text

from training.pictures.chart import named
from training.pictures.sheet import BAD, GOOD, PLAIN, Cell, Section, Tile, draw_sheet, fitted
from training.prediction import Prediction

_UPPER_HALF = "▀"
_GAP = 2


def figures(prediction: Prediction) -> list[str]:
    """A line each for the score, and as far as the model can tell, probability, decision, kind."""
    kind = _kind(prediction)
    lines = [f"score: {prediction.score:.6g}, {named(prediction.metric)}"]
    if prediction.probability is None or prediction.threshold is None:
        return [*lines, "no probability and no decision: the model is not calibrated", *kind]
    sign = "≥" if prediction.metric.higher_is_alike else "≤"
    rule = f"same where the score is {sign} {prediction.threshold:.6g}"
    return [
        *lines,
        f"probability of being the same: {prediction.probability:.4f}",
        f"decision: {_decision(prediction)} ({rule})",
        *kind,
    ]


def comparison_sheet(
    prediction: Prediction,
    images: Sequence[Image.Image],
    names: Sequence[str],
    model: str,
) -> Image.Image:
    """Draws two pictures side by side under the verdict.

    Args:
        prediction: What the model says.
        images: The two.
        names: What to call them.
        model: What to call the model.
    """
    colour = PLAIN
    if prediction.same is not None:
        colour = GOOD if prediction.same else BAD
    tiles = tuple(
        Tile(lambda image=image: image, (f"{letter}: {name}", *told))  # type: ignore[misc]
        for letter, image, name, told in zip("AB", images, names, _levels(prediction), strict=True)
    )
    title = "Two pictures compared" if prediction.same is None else _decision(prediction).title()
    cell = Cell(_in_short(prediction), tiles, colour)
    # On a line of its own, as a subtitle that is too long loses its middle.
    section = Section(_warning(prediction), (cell,), colour=BAD)
    subtitle = f"{model}, {named(prediction.metric)}"
    return draw_sheet(title, subtitle, (section,), tile_height=400)


def half_blocks(images: Sequence[Image.Image], columns: int) -> Text:
    """Pictures side by side as coloured characters, two pixels in each, one above the other.

    Args:
        images: From left to right.
        columns: Of the terminal.
    """
    width = max(8, min(48, (columns - (len(images) - 1) * _GAP) // len(images)))
    blocks = []
    for image in images:
        shown = fitted(image, width, width)
        square = Image.new("RGB", (width, width + width % 2), (128, 128, 128))
        square.paste(shown, ((width - shown.width) // 2, (width - shown.height) // 2))
        blocks.append(square)
    text = Text(no_wrap=True)
    for row in range(0, blocks[0].height, 2):
        for place, block in enumerate(blocks):
            if place:
                text.append(" " * _GAP)
            for column in range(width):
                upper, lower = (_colour(block, column, row + below) for below in (0, 1))
                text.append(_UPPER_HALF, Style(color=upper, bgcolor=lower))
        text.append("\n")
    return text


def _colour(image: Image.Image, column: int, row: int) -> Color:
    pixel = image.getpixel((column, row))
    if not isinstance(pixel, tuple):
        raise TypeError("the image is to be in mode RGB")
    red, green, blue = pixel[:3]
    return Color.from_rgb(red, green, blue)


def _in_short(prediction: Prediction) -> str:
    """The figures in one line: the score against the threshold, and the probability."""
    score = f"score {prediction.score:.6g}"
    if prediction.probability is None or prediction.threshold is None:
        return f"{score} · not calibrated: no probability, no decision"
    reached = ("≥", "<") if prediction.metric.higher_is_alike else ("≤", ">")
    sign = reached[0] if prediction.same else reached[1]
    verdict = f"{score} {sign} threshold {prediction.threshold:.6g}"
    return f"{verdict} · P(same) {prediction.probability:.4f}"


def _kind(prediction: Prediction) -> list[str]:
    """Whether the pictures are of the model's own kind, or nothing where that is not known."""
    if prediction.typicality is None or prediction.level is None:
        return []
    first, second = prediction.typicality
    told = _warning(prediction) or "both are of the model's kind"
    wanted = "" if prediction.in_distribution else f", where {prediction.level:g} is wanted"
    return [f"{told}: typicality {first:.4g} (A), {second:.4g} (B){wanted}"]


def _warning(prediction: Prediction) -> str:
    """Which pictures are not of the model's own kind; empty where that is not known, or none."""
    if prediction.typicality is None or prediction.level is None or prediction.in_distribution:
        return ""
    strange = [
        name
        for name, value in zip("AB", prediction.typicality, strict=True)
        if value < prediction.level
    ]
    told = " and ".join(strange) + (" is" if len(strange) == 1 else " are")
    return f"{told} not of the model's kind, so that the rest says little"


def _levels(prediction: Prediction) -> list[list[str]]:
    """The line below each picture that says how typical it is, if that is known."""
    level = prediction.level
    if prediction.typicality is None or level is None:
        return [[], []]
    return [
        [f"typicality {value:.4g}" + ("" if value >= level else f", where {level:g} is wanted")]
        for value in prediction.typicality
    ]


def _decision(prediction: Prediction) -> str:
    if prediction.same is None:
        return "not calibrated"
    return "same" if prediction.same else "different"
