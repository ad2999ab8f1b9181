"""From annotated planes to a trained model, and how good a model is."""
