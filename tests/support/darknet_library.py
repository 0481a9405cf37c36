"""A run of darknet itself, by any Python with numpy: `darknet_library.py LIBRARY CFG WEIGHTS INPUT.npy OUT.npy COUNT`.

Saves COUNT values of the last layer's output, as the library of Joseph Redmon's darknet (libdarknet.so) computes it.
"""

import ctypes
import sys

import numpy as np

library, cfg, weights, blob, out, count = sys.argv[1:]
darknet = ctypes.CDLL(library)
darknet.load_network.restype = ctypes.c_void_p
darknet.load_network.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int]
darknet.set_batch_network.argtypes = [ctypes.c_void_p, ctypes.c_int]
darknet.network_predict.restype = ctypes.POINTER(ctypes.c_float)
darknet.network_predict.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

net = darknet.load_network(cfg.encode(), weights.encode(), 0)
darknet.set_batch_network(net, 1)
values = np.ascontiguousarray(np.load(blob), np.float32)
np.save(out, np.ctypeslib.as_array(darknet.network_predict(net, values.ctypes.data), (int(count),)))
