"""How good boxes and models are: measures, comparisons, intervals. No torch, no napari."""
