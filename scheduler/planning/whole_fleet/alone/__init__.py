"""What each job or pool would choose by itself at given prices of capacity, and the bound that follows."""
