"""What transformers' models are made of and take: by the names of their arguments, and as their configurations say."""

import inspect
import re
from typing import Any

#: The arguments without which a configuration makes no model, or one without a single layer of attention.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "esm": {"vocab_size": 33, "pad_token_id": 1},
    **{
        name: {"prediction_length": 24, "num_time_features": 1}
        for name in ("autoformer", "informer", "time_series_transformer")
    },
}
TOKENS, FRAMES, GRID = 64, 400, 16
#: Models of sound that put the bands before the frames, of which they take so many.
BANDS_FIRST = "Whisper|Voxtral|Qwen2Audio|AudioFlamingo|Glm|Moss|MusicFlamingo"
#: Those that take a batch of signals with channels.
SIGNALS = "Dac|Encodec|Mimi|Codec|Tokenizer|WavTokenizer|PocketTts|Vibe"


def inputs_of(module: Any) -> dict[str, Any]:
    """The shapes, tensors and numbers that a model takes, by the names of the arguments of its `forward`."""
    import torch

    config, kind = module.config, type(module).__name__
    parts = [config, *(part for part in vars(config).values() if hasattr(part, "to_dict"))]

    def said(*names: str, default: Any) -> Any:
        found = (getattr(part, name, None) for part in parts for name in names)
        return next((value for value in found if isinstance(value, int | list | tuple) and value), default)

    tokens = min(TOKENS, *(getattr(part, "max_position_embeddings", None) or TOKENS for part in parts), TOKENS)
    ids = torch.zeros(1, tokens, dtype=torch.long)
    size = said("image_size", "img_size", "crop_size", default=224)
    height, width = size if isinstance(size, list | tuple) else (size, size)
    channels, patch = said("num_channels", "in_channels", "in_chans", default=3), said("patch_size", default=16)
    image: tuple[int, ...] = (1, channels, height, width)
    frames = said("num_frames", "frames_per_clip", default=0)
    video = (1, frames or 16, *image[1:])
    takes = inspect.signature(module.forward).parameters
    needs = {name for name, one in takes.items() if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD}
    grids = needs & {"grid_thw", "image_grid_thw"}
    rows: Any = image if not frames or kind.startswith("Perceiver") else video
    if re.search("LoFTR|SuperGlue|LightGlue", kind):  # which match two images
        rows = (1, 2, *image[1:])
    if grids:
        rows = (GRID * GRID, channels * said("temporal_patch_size", default=1) * patch * patch)
    sizes = ("num_mel_bins", "input_feat_size", "feature_projection_input_dim", "input_feat_per_channel")
    bands = said(*sizes, default=80)
    positions = 2 * said("max_source_positions", default=1500)
    sound: tuple[int, ...] = (1, bands, positions) if re.search(BANDS_FIRST, kind) else (1, FRAMES, bands)
    signal: tuple[int, ...] = (1, 1, 16000) if re.search(SIGNALS, kind) else (1, 16000)
    if hasattr(config, "num_mel_bins") and hasattr(config, "max_length"):  # a spectrogram under the same name
        signal = (1, config.max_length, config.num_mel_bins)
    series: tuple[int, ...] = (1, said("context_length", default=32), said("num_input_channels", default=1))
    if "past_time_features" in needs:  # which looks back as far as its lags
        series = (1, config.context_length + max(config.lags_sequence))
    by_name: dict[str, Any] = {
        "bbox": torch.zeros(1, tokens, 4, dtype=torch.long), "pixel_values": rows, "pixel_values_videos": video,
        "hidden_states": rows, **dict.fromkeys(("grid_thw", "image_grid_thw"), torch.tensor([[1, GRID, GRID]])),
        "input_values": signal, "input_features": sound, "audio_mel": sound, "past_values": series,
        "past_time_features": (*series[:2], said("num_time_features", default=1)), "past_observed_mask": series,
        **dict.fromkeys(("audio_mel_mask", "input_features_mask"), torch.ones(1, max(sound[1:])).bool()),
        "query_embeds": (1, 32, said("hidden_size", default=768)),
        "inputs_embeds": (1, tokens, said("hidden_size", default=64)),
    }  # fmt: skip
    given = {name: by_name[name] for name in takes if name in by_name and name in {*needs, module.main_input_name}}
    if "input_features" in given and "input_features_mask" in takes:
        given["input_features_mask"] = by_name["input_features_mask"]
    if "query_embeds" in given:  # which ask an image
        given["encoder_hidden_states"] = (1, GRID * GRID + 1, said("encoder_hidden_size", default=1408))
    text = {name for name in takes if name.endswith("input_ids")}
    sees = "pixel_values" in takes and not hasattr(config, "image_token_id") and hasattr(config, "vision_config")
    if sees:  # where nothing in the text says where an image stands
        given["pixel_values"] = rows
    for name in text:
        reads = name in needs or name == module.main_input_name or (name == "input_ids" and sees)
        if reads or (name == "decoder_input_ids" and config.is_encoder_decoder):
            given[name] = ids
    if "bbox" in takes and given.keys() & text:
        given["bbox"] = by_name["bbox"]
    return given
