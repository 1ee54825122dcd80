"""When and where work that can wait should run. Pure: jobs, forecasts, capacity and `now_s` in, a plan out."""
