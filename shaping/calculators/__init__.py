"""Right-sizing by arithmetic: training from compute, places under a cost limit, smaller models, edge or cloud."""
