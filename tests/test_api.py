"""Programs get what the commands do: the same options, results and refusals."""

from pathlib import Path
from unittest.mock import patch

import pytest

from clipcache import api
from clipcache.cache.locks import Share
from clipcache.cache.reader import EmbeddingCache
from clipcache.embed import EmbedOptions
from clipcache.encoders.options import EncoderOptions
from clipcache.errors import CacheError, EncoderError, EngineError, RunError, SourceError
from clipcache.finetune.finetune import FinetuneOptions
from clipcache.finetune.tower import Tune
from clipcache.finetune.tune import TuneOptions
from tests.labelled_run import drawn_cache
from tests.pictures import folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingCache:
    """34 drawn images of two kinds, the photos beside the cache; nobody writes to it."""
    return drawn_cache(tmp_path_factory.mktemp("api"))


def test_shares_make_one_cache(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", {"coat": 5, "hat": 4})
    small = EmbedOptions(chunk_rows=4)
    first, second = (
        api.embed(
            str(photos), tmp_path / "c.zarr", "clipcache-tiny", device="cpu", shard=shard,
            options=small, split="random:0.3",
        )
        for shard in ("0/2", "1/2")
    )  # fmt: skip
    assert (first.processed, first.pending) == (5, 4)
    assert (second.processed, second.pending, second.unchanged) == (4, 0, 5)
    with pytest.raises(CacheError, match="2/2 is no share"):
        api.embed(photos, tmp_path / "c.zarr", "clipcache-tiny", shard="2/2")


def test_a_split_is_not_forgotten(tmp_path: Path) -> None:
    photos, cache = folder(tmp_path / "photos", {"coat": 5, "hat": 4}), tmp_path / "c.zarr"
    assert api.embed(photos, cache, "clipcache-tiny", device="cpu", split="random:0.4").test
    with pytest.raises(SourceError, match="give --split as before"):
        api.embed(photos, cache, "clipcache-tiny", device="cpu")
    assert not api.embed(photos, cache, "clipcache-tiny", device="cpu", split="none").test


def test_how_to_encode_arrives_as_it_was_given(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", {"coat": 2})
    with (
        patch("clipcache.api.load_encoder", wraps=api.load_encoder) as loaded,
        patch("clipcache.api.make_engine", side_effect=ArithmeticError) as made,
        pytest.raises(ArithmeticError),
    ):
        api.embed(
            photos, tmp_path / "c.zarr", "clipcache-tiny", device="cpu", precision="float32",
            fast_decode=True, compile=False, engine="ray", processes=3,
        )  # fmt: skip
    asked = EncoderOptions("clipcache-tiny", None, "cpu", "float32", True, False)
    loaded.assert_called_once_with(asked)
    assert made.call_args.args[0] == "ray"
    assert made.call_args.args[1].fast_decode
    assert made.call_args.args[2] == 3
    with pytest.raises(EngineError, match="no engine called 'magic'"):
        api.embed(photos, tmp_path / "c.zarr", "clipcache-tiny", device="cpu", engine="magic")


def test_the_options_of_a_share_are_kept(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", {"coat": 2})
    how = EmbedOptions(batch_size=7, keep_held_out=True, share=Share(0, 2))
    with patch("clipcache.api.embed_source") as called:
        for shard in (None, "1/2"):
            api.embed(photos, tmp_path / "c", "clipcache-tiny", shard=shard, options=how)
    first, second = (call.args[3] for call in called.call_args_list)
    assert first == how
    assert (second.batch_size, second.keep_held_out, second.share) == (7, True, Share(1, 2))


def test_how_to_fine_tune_arrives_as_it_was_given(drawn: EmbeddingCache, tmp_path: Path) -> None:
    run = api.open_run(tmp_path / "run", drawn.folder, asks="all", held_out=0)
    run.store.close()
    out = tmp_path / "t.safetensors"
    with patch("clipcache.api.finetune_encoder") as called:
        api.finetune(
            tmp_path / "run", "s3://bucket/a.tar", str(out), cache=str(tmp_path / "c"),
            tune="lora:4", pretrained="w.pt", device="cpu", epochs=3, alpha=0.5,
        )  # fmt: skip
    opened, images, path, options = called.call_args.args
    opened.store.close()
    assert (opened.folder, images, path) == (tmp_path / "run", "s3://bucket/a.tar", out)
    how = TuneOptions(Tune("lora", 4), 3, alpha=0.5)
    assert options == FinetuneOptions(how, "w.pt", "cpu")
    assert called.call_args.kwargs == {"cache": tmp_path / "c"}


def test_a_replay_may_fine_tune(drawn: EmbeddingCache, tmp_path: Path) -> None:
    options = {"strategy": "margin", "head": "linear", "init": "random:8", "rounds": 0}
    photos = drawn.folder.parent / "photos"
    how = {"finetune": "fresh", "images": photos, "tune": "lora:4"}
    with patch("clipcache.finetune.rounds.tune") as tuned:
        done = api.loop(drawn.folder, tmp_path / "run", **how, **options)
    assert tuned.call_count == 1
    assert tuned.call_args.args[3].tune == Tune("lora", 4)
    assert [closed.labels for closed in done] == [8]
    with pytest.raises(RunError, match="begun with --finetune"):
        api.loop(drawn.folder, tmp_path / "run", **options)
    with pytest.raises(EncoderError, match=r"'w\.pt' is neither a file nor a hub tag"):
        api.loop(drawn.folder, tmp_path / "other", **how, pretrained="w.pt", **options)


def test_others_may_score_but_what_is_embedded_anew(drawn: EmbeddingCache, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no engine 'dask' scores"):
        api.loop(drawn.folder, tmp_path / "run", engine="dask", init="random:8", rounds=0)
    with pytest.raises(EngineError, match="leave out the engine"):
        api.loop(drawn.folder, tmp_path / "tuned", engine="ray", finetune="fresh")
    assert not (tmp_path / "tuned").exists()
