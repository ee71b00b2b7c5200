"""Data sets as whole tensors, own pictures, noise and whitening."""

from .catalogue import Data, fitting  # noqa: F401
from .given import from_dataset  # noqa: F401
from .own import own_folder, own_picture, picture_doubts  # noqa: F401
from .sets import fetch, files, gallery, has_files, load  # noqa: F401
