from ckptfmt.object_graph.object_graph import ObjectGraph as ObjectGraph
