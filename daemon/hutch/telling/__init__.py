"""Records in a person's words, the same on the command line and on the page; decides nothing."""
