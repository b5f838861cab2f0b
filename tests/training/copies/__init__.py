"""Tests of training.copies."""
