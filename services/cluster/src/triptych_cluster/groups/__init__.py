"""Groups of faces out of the graph: by density, apart where two are in one photo, merged where they agree."""
