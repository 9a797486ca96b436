"""From what is known of a cell to the parameters of the model."""
