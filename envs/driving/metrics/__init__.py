"""Functions of the state that are rewarded and evaluated alike."""
