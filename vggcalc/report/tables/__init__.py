"""Tables of text cells and sentences, which every format for people renders."""
