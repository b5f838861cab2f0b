"""Several processes behind one port: a parent, front-ends that serve HTTP, one for the device.

One interpreter can receive, decode and compare for some 650 requests a second, however fast the
device is. Here the parent (`parent`) starts front-ends (`front_end`), each with its share of the
limits (`shares`), and a device process that computes for all of them (`app.inference.device`).
"""
