"""What the model in the box is made from: scenes with codes in them, shards of scenes, and its training.

    python -m calib.scenes --sheet sheet.png     look at what the generator makes
    python -m calib.shards OUT --seeds 0:20000   make scenes ahead, in parallel
    python -m calib.train OUT --run RUN          train the zoo's CSPDenseNetb Ref.-PRN on them

`scenes` and `shards` need numpy, opencv-python and zxing-cpp alone; scikit-image, when there, lends its pictures.
"""

CLASSES = ("qr", "datamatrix", "aztec", "pdf417", "barcode", "marker")
"""The labels, in the order of their class ids."""

TEST_SEEDS = 10**9
"""Seeds from here on make test scenes; training refuses them."""
