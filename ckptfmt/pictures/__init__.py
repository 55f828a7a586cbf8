"""Pictures of graphs and models: which boxes, clusters and arrows they consist of."""
