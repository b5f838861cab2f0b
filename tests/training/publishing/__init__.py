"""Tests of training.publishing."""
