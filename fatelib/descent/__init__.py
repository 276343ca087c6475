"""Full-batch gradient descent, whatever trains: the loop, its options, batches and precision."""
