"""What is done with a volume's history: find, compare, go back, fork, tag, thin out, measure, prove."""
