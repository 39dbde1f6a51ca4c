"""What a month cost, and whose it was: sums of calls, and the hours of the servers split over those who used them."""
