"""The training curves: loss and learning rate, accuracy, validation errors, distances."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from training.history import History, Row
from training.pictures import chart

CURVES = "curves.png"
"""The file's name beside a checkpoint."""

# Points that a legend of one line takes.
_LEGEND = 18
_COLOURS = (chart.IMPOSTOR, chart.GENUINE, chart.MARKED, chart.FURTHER)


@dataclass(frozen=True)
class Series:
    """A figure over the steps at which it was measured.

    Attributes:
        name: What it is.
        steps: At which.
        values: What it was there.
    """

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


def series(history: History, name: str, value: Callable[[Row], float | None]) -> Series | None:
    """What was measured of a figure; None if it never was."""
    found = [(row.step, value(row)) for row in history]
    measured = [(step, number) for step, number in found if number is not None]
    if not measured:
        return None
    steps, values = zip(*measured, strict=True)
    return Series(name, steps, values)


def errors(history: History) -> list[Series]:
    """Equal error rate, 1 − AUC and one-shot error, as far as measured: lower is better."""
    return _present(
        series(history, "equal error rate", lambda row: row.eer),
        series(history, "1 − AUC", lambda row: _missed(row.auc)),
        series(history, "one-shot error", lambda row: _missed(row.one_shot)),
        series(history, "1 − AUC on images trained on", lambda row: _missed(row.train_auc)),
    )


def distances(history: History) -> list[Series]:
    """Mean distances of embeddings of two classes and of one, as far as measured."""
    return _present(
        series(history, "of two classes", lambda row: row.impostor_distance),
        series(history, "of one class", lambda row: row.genuine_distance),
    )


def curves_png(history: History, subtitle: str, *, kept_step: int | None = None) -> bytes:
    """Draws a panel each for loss, accuracy, errors and distances, one above the other.

    Args:
        history: At least one row.
        subtitle: The model and the data.
        kept_step: The step whose weights were kept, if it is to be marked.
    """
    panels: list[Callable[[Axes], None]] = [lambda axes: _loss(axes, history)]
    accuracy = series(history, "accuracy", lambda row: row.accuracy)
    if accuracy:
        panels.append(lambda axes: _accuracy(axes, accuracy))
    found = errors(history)
    if found:
        panels.append(lambda axes: _errors(axes, found))
    apart = distances(history)
    if apart:
        panels.append(lambda axes: _distances(axes, apart))
    figure = chart.new_figure(1.2 + 2.8 * len(panels))
    for place, draw in enumerate(panels):
        axes = chart.dressed(
            figure.add_subplot(len(panels), 1, place + 1, sharex=figure.axes[0] if place else None)
        )
        draw(axes)
        if kept_step is not None:
            axes.axvline(kept_step, color=chart.QUIET, linestyle=":", linewidth=1.5)
        if place == len(panels) - 1:
            axes.set_xlabel("step" + ("" if kept_step is None else " (dotted: weights kept)"))
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
        else:
            axes.tick_params(labelbottom=False)
        if place == 0:
            chart.title(axes, "Training", subtitle, above=_LEGEND)
    return chart.to_png(figure)


def _loss(axes: Axes, history: History) -> None:
    steps = [row.step for row in history]
    marker = "o" if len(history) == 1 else ""
    rates = axes.twinx()
    lines = rates.plot(
        steps,
        [row.learning_rate for row in history],
        marker=marker,
        color=chart.QUIET,
        linewidth=1.2,
        label="learning rate (right)",
    )
    rates.set_ylim(bottom=0)
    # Not as a power of ten over the axis, where the heading is.
    rates.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    rates.set_ylabel("learning rate")
    rates.spines["top"].set_visible(False)
    lines = [
        *axes.plot(
            steps,
            [row.loss for row in history],
            marker=marker,
            color=chart.GENUINE,
            linewidth=1.8,
            label="loss (left)",
        ),
        *lines,
    ]
    collapsed = series(history, "loss if collapsed", lambda row: row.collapsed_loss)
    if collapsed:
        lines += axes.plot(
            collapsed.steps,
            collapsed.values,
            "--",
            color=chart.IMPOSTOR,
            linewidth=1.2,
            label="loss if all embeddings were the same",
        )
    # The loss lies above the learning rate, and the lines under it show through.
    axes.set_zorder(rates.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.set_ylabel("loss")
    _legend(axes, lines)


def _accuracy(axes: Axes, found: Series) -> None:
    marker = "o" if len(found.steps) == 1 else ""
    label = f"on images trained on, last {chart.percent(found.values[-1])}"
    axes.plot(found.steps, found.values, marker=marker, color=chart.GENUINE, label=label)
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_ylabel("accuracy in training")
    _legend(axes)


def _errors(axes: Axes, found: list[Series]) -> None:
    for entry, colour in zip(found, _COLOURS, strict=False):
        label = f"{entry.name}, last {chart.percent(entry.values[-1])}"
        axes.plot(entry.steps, entry.values, "o-", markersize=4, color=colour, label=label)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_ylabel("error in validation")
    _legend(axes)


def _distances(axes: Axes, found: list[Series]) -> None:
    for entry in found:
        colour = chart.GENUINE if entry.name == "of one class" else chart.IMPOSTOR
        axes.plot(entry.steps, entry.values, "o-", markersize=4, color=colour, label=entry.name)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("mean distance\nof embeddings")
    _legend(axes)


def _legend(axes: Axes, lines: Sequence[Artist] | None = None) -> None:
    """Above the axes, as the lines may be anywhere inside."""
    axes.legend(
        handles=lines or axes.get_legend_handles_labels()[0],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0,
        ncols=3,
        fontsize=10,
        frameon=False,
    )


def _missed(share: float | None) -> float | None:
    return None if share is None else 1 - share


def _present(*found: Series | None) -> list[Series]:
    return [entry for entry in found if entry is not None]
