"""Labelled faces rendered from the MIT-licensed ICT-FaceKit model (extra ``synth``)."""
