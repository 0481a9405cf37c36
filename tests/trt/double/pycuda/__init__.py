"""A pycuda whose device is this process's memory."""
