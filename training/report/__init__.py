"""The report on a model: one HTML file that needs nothing from outside."""
