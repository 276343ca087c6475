"""Deep linear networks and the exact ways to train them."""
