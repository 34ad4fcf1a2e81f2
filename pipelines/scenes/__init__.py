"""The world of the embedded dataset: what is in a scene, its picture, its captions, and which are true."""
