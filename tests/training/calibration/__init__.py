"""Tests of training.calibration."""
