"""Reading what dlib serialised: networks' parameters and a shape predictor, never any code.

dlib's `serialize.h` and the `serialize` functions of its classes are the format. Integers are a
control byte (the low four bits say how many bytes follow, the highest bit is the sign) and these
bytes, least first; a real number is two integers, mantissa and exponent of two; the values of a
tensor lie as they are, little-endian float32.
"""

from model_store.imports.dlib_format.network import read_network
from model_store.imports.dlib_format.numbers import NotDlibFormat
from model_store.imports.dlib_format.shape_predictor import Shape, read_shape_predictor

__all__ = [
    "NotDlibFormat",
    "Shape",
    "read_network",
    "read_shape_predictor",
]
