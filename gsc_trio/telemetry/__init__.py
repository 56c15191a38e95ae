"""What a run tells of itself: typed events, and instruments that take note of them."""
