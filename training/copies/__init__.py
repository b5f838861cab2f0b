"""Copies of pictures as others pass them on: what near-duplicates are learnt and judged by."""
