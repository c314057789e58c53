"""Where notifications of what has changed come from."""
