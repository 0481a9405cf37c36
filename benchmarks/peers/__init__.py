"""Other people's ways from a picture to its boxes, each a script for an interpreter of its own, beside edgecsp's."""
