"""Tests of training.run."""
