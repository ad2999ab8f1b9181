"""napari's side: layers to core and back, readers, writers and sample data. No widgets."""
