"""What every test of `training` may use."""

from hypothesis import settings

# How long an example takes says more of the machine and its load than of the code.
settings.register_profile("training", deadline=None)
settings.load_profile("training")
