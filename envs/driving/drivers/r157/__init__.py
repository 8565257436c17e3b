"""Reference drivers of UN Regulation 157: published models, and the regulation's own driver."""
