"""Meta graphs: what a MetaGraphDef holds beside its graph, such as signatures, collections and the Saver."""
