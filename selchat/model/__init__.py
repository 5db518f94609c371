"""The words that all of selchat speaks: commands, events, names, clean text. No I/O."""
