"""Asking models over HTTP: endpoints, the two wire formats, what a call used and what it costs."""
