"""What is left where the garbage collector does not come."""

import contextlib
import gc
from collections import Counter
from collections.abc import Iterator
from types import TracebackType

from PIL.ImageFile import ImageFile

from app.api.fields import Fields
from app.api.form import Form
from app.api.multipart import MultipartReader
from app.api.sink import Sink
from app.api.uploads import Body
from app.inference.decode import Decoding
from app.inference.embedder import EncodedImage
from app.inference.schedule import Slot

_OF_A_REQUEST = (Body, Decoding, EncodedImage, Fields, Form, ImageFile, MultipartReader, Sink, Slot)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """The garbage collector does not come, until the block ends."""
    gc.collect()
    # What is frozen is not counted either, nor looked through.
    gc.freeze()
    before = gc.get_threshold()
    # Not by `gc.disable`: whoever reads JSON does that too, and undoes it.
    gc.set_threshold(0)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def left() -> Counter[str]:
    """What there is of requests since the collector stays away, and traces through the service."""
    found: Counter[str] = Counter()
    for each in gc.get_objects():
        if type(each) is TracebackType:
            frame = each.tb_frame
            if str(frame.f_globals.get("__name__")).startswith("app."):
                found[f"a trace through {frame.f_code.co_name}"] += 1
        elif issubclass(type(each), _OF_A_REQUEST):
            found[type(each).__name__] += 1
    return found
