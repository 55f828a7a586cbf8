"""What a MetaGraphDef holds beside its graph: signatures, collections, the Saver."""
