"""Published policies: their rules, and planners that follow them through the same engine as ours."""
