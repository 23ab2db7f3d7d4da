"""Video to rows: decoding, face finding and AU networks side by side, rows in order.

    decode (thread) -> find faces (thread) -> align, crop, AU networks (the caller's own thread)

At most a few batches of frames wait between the stages, so memory does not grow with the video.
Crops are collected over frames by count, never by time: the same file and options give the same
bits.
"""
