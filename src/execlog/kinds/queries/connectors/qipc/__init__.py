"""kdb+ without a licence: its values, its wire format, its compression, and a client."""
