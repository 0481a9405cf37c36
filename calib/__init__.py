"""Source of the bundled model `codes`: scenes with codes in them, and data sets of scenes.

    python -m calib.scenes --sheet sheet.png     look at what the generator makes
    python -m calib.shards DIR                   write a labelled data set of scenes, in parallel
    edgecsp train cspdensenetb-ref-prn --data DIR/data.yaml ...    train on it (calib/README.md has the whole recipe)

`scenes` and `shards` need numpy, opencv-python and zxing-cpp alone; scikit-image, when there, lends its images.
"""

CLASSES = ("qr", "datamatrix", "aztec", "pdf417", "barcode", "marker")
"""The labels, in the order of their class ids."""

HARD_SEEDS = 5 * 10**8
"""Seeds from here to VAL_SEEDS make training scenes of what is hard: Data Matrix, and what is mistaken for codes.
Those below make general training scenes."""

VAL_SEEDS = 9 * 10**8
"""Seeds from here to TEST_SEEDS make the scenes that choose the best epoch, the second half of them hard ones."""

TEST_SEEDS = 10**9
"""Seeds from here on make test scenes; training refuses them."""

LOOKALIKE_SEEDS = 2 * 10**9
"""Seeds from here on make test scenes of what is hard (`calib.test --lookalikes`)."""
