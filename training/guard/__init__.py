"""Noticing that a training has collapsed: what is measured, what is concluded, what helps."""
