"""The verbs: a module or a package each."""
