"""The sections of a report: each module makes some of them from what is known of a model."""
