"""The client: what it knows (state.py), its connection (link.py), and line mode (plain.py)."""
