"""Our worlds in other people's training programs; what they need is imported when it is used."""
