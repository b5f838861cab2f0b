"""Tests of training.evaluation.protocols."""
