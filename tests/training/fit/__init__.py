"""Tests of training.fit."""
