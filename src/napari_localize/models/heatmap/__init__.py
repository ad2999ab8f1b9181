"""The default localizer: its network, what it learns from and how its answer is read."""
