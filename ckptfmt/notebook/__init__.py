"""What notebooks show of an object: its class describes it as a card, and this room makes HTML of that."""
