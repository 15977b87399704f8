import threading
import warnings

import pytest

from clipcache.images.quiet import Quiet


def pillow_warns() -> None:
    warnings.warn_explicit("odd file", UserWarning, "Image.py", 1, module="PIL.Image")


def test_pillow_is_quiet_inside_only() -> None:
    quiet = Quiet()
    with quiet:
        pillow_warns()
    with pytest.warns(UserWarning, match="odd file"):
        pillow_warns()


def test_others_are_heard_inside() -> None:
    with Quiet(), pytest.raises(UserWarning, match="mine"):
        warnings.warn("mine", UserWarning, stacklevel=1)


def test_an_error_inside_leaves_nothing_behind() -> None:
    before = list(warnings.filters)
    with pytest.raises(KeyboardInterrupt), Quiet():
        raise KeyboardInterrupt
    assert list(warnings.filters) == before


def test_threads_that_overlap_leave_the_filters_as_they_were() -> None:
    """The first in is out before the second: plain catch_warnings would leave the change behind."""
    before, quiet = list(warnings.filters), Quiet()
    inside, leave = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def second() -> None:
        try:
            with quiet:
                inside.set()
                leave.wait(5)
                pillow_warns()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=second)
    with quiet:
        thread.start()
        assert inside.wait(5)
    leave.set()
    thread.join()
    assert errors == []
    assert list(warnings.filters) == before
