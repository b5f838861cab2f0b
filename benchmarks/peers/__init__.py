"""Other servers doing the same work: the same weights, engine, decoding and photos.

One file for each, run as `python FILE PORT` by the interpreter of a virtual environment that has
the server and Twinlens. With `TWINLENS_BENCH_CONSTANT=1` decoding and network are replaced by a
constant, so that what is left is the server.
"""
