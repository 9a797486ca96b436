"""From batches to weights: the loop, its steps, checkpoints and early stopping."""
