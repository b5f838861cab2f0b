"""Tests of training.crossing."""
