import numpy as np

from model_store.pictures import COUNT, drawn
from model_store.preprocessing import Preprocessing
from tests.tiny import COLOUR_32


def test_pictures_are_the_same_every_time_and_of_the_networks_kind() -> None:
    assert np.array_equal(drawn(COLOUR_32), drawn(COLOUR_32))
    assert drawn(COLOUR_32).shape == (COUNT, *COLOUR_32.shape)
    more = drawn(COLOUR_32, count=COUNT + 2)
    assert np.array_equal(more[:COUNT], drawn(COLOUR_32))
    assert len({picture.tobytes() for picture in more}) == COUNT + 2
    ink = Preprocessing(height=32, width=32, mode="L", resize="ink", mean=(0.5,), std=(0.5,))
    on_paper = drawn(ink)
    assert (on_paper == 255).mean() > 0.5, "mostly paper"
    assert all((image < 64).any() for image in on_paper), "and ink on each"
    dark = drawn(ink.model_copy(update={"fill": 0}))
    assert (dark == 0).mean() > 0.5
