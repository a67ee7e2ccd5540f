"""The models of MONAI, kornia and diffusers for benchmarks/zoo.py: their arguments, and what they take."""

from typing import Any

import torch

IMAGE = (1, 3, 224, 224)
SMALL, CLIP = (1, 3, 64, 64), (1, 3, 9, 64, 64)
LATENT = {"sample": (1, 4, 64, 64), "timestep": 1}
MAPS = {"hidden_states": (1, 16, 64, 64), "timestep": (1,)}
VIDEO = {"hidden_states": (1, 16, 5, 32, 32), "timestep": (1,)}
PATCHES = {"hidden_states": (1, 256, 64), "timestep": (1,), "img_ids": (256, 3), "txt_ids": (77, 3)}


def text(width: int) -> dict[str, Any]:
    """A caption's tokens, each a vector."""
    return {"encoder_hidden_states": (1, 77, width)}


#: diffusers' models, which have defaults: the arguments beside these; and the shapes, tensors and numbers they take.
DIFFUSERS: dict[str, tuple[dict[str, Any], Any]] = {
    "UNet2DModel": ({}, {"sample": (1, 3, 64, 64), "timestep": 1}),
    "UNet2DConditionModel": ({}, LATENT | text(1280)),
    "UNet3DConditionModel": ({}, {"sample": (1, 4, 4, 32, 32), "timestep": 1} | text(1024)),
    "UNet1DModel": ({"extra_in_channels": 64}, {"sample": (1, 2, 4096), "timestep": 1}),  # those of its embedded time
    "UNetMotionModel": ({}, {
        "sample": (1, 4, 8, 32, 32), "timestep": 1, "encoder_hidden_states": (8, 77, 1280)}),
    "UNetSpatioTemporalConditionModel": ({}, {
        "sample": (1, 4, 8, 64, 64), "timestep": 1, "added_time_ids": (1, 3), "encoder_hidden_states": (1, 1, 1024)}),
    "UNetControlNetXSModel": ({}, LATENT | text(1024) | {"controlnet_cond": (1, 3, 512, 512)}),
    "AudioLDM2UNet2DConditionModel": ({}, {"sample": (1, 4, 64, 16), "timestep": 1} | text(1280)),
    "ControlNetModel": ({}, LATENT | text(1280) | {"controlnet_cond": (1, 3, 512, 512)}),
    "AsymmetricAutoencoderKL": ({}, SMALL), "AutoencoderDC": ({}, SMALL), "AutoencoderKL": ({}, SMALL),
    "AutoencoderKLFlux2": ({}, SMALL), "AutoencoderTiny": ({}, SMALL), "VQModel": ({}, SMALL),
    "AutoencoderKLTemporalDecoder": ({}, {"sample": SMALL, "num_frames": 1}), "AutoencoderKLQwenImage": ({}, CLIP),
    "AutoencoderKLCogVideoX": ({}, CLIP), "AutoencoderKLCosmos": ({}, CLIP), "AutoencoderKLHunyuanVideo": ({}, CLIP),
    "AutoencoderKLHunyuanVideo15": ({}, CLIP), "AutoencoderKLLTXVideo": ({}, CLIP), "AutoencoderKLMagvit": ({}, CLIP),
    "AutoencoderKLWan": ({}, CLIP), "AutoencoderOobleck": ({}, (1, 2, 8192)),
    "AuraFlowTransformer2DModel": ({}, {"hidden_states": (1, 4, 64, 64), "timestep": (1,)} | text(2048)),
    "ChromaTransformer2DModel": ({}, PATCHES | text(4096)),
    "CogVideoXTransformer3DModel": ({}, {
        "hidden_states": (1, 13, 16, 60, 90), "timestep": (1,), "encoder_hidden_states": (1, 226, 4096)}),
    "CogView3PlusTransformer2DModel": ({}, MAPS | text(4096) | dict.fromkeys(
        ("original_size", "target_size", "crop_coords"), (1, 2))),
    "CogView4Transformer2DModel": ({}, MAPS | text(4096) | dict.fromkeys(
        ("original_size", "target_size", "crop_coords"), (1, 2))),
    "CosmosTransformer3DModel": ({}, {
        "hidden_states": (1, 16, 2, 32, 32), "timestep": (1,), "padding_mask": (1, 1, 256, 256)} | text(1024)),
    "DiTTransformer2DModel": ({}, {
        "hidden_states": (1, 4, 32, 32), **dict.fromkeys(("timestep", "class_labels"), torch.zeros(1).long())}),
    "FluxTransformer2DModel": ({}, PATCHES | text(4096) | {"pooled_projections": (1, 768)}),
    "FluxControlNetModel": ({}, PATCHES | text(4096) | {
        "pooled_projections": (1, 768), "controlnet_cond": (1, 256, 64)}),
    "Flux2Transformer2DModel": ({}, PATCHES | text(15360) | {
        "hidden_states": (1, 256, 128), "img_ids": (256, 4), "txt_ids": (77, 4), "guidance": (1,)}),
    "HunyuanVideoTransformer3DModel": ({}, VIDEO | text(4096) | {
        "encoder_attention_mask": (1, 77), "pooled_projections": (1, 768), "guidance": (1,)}),
    "LTXVideoTransformer3DModel": ({}, {
        "hidden_states": (1, 128, 128), "timestep": (1,), "encoder_attention_mask": (1, 77), "num_frames": 2,
        "height": 8, "width": 8} | text(4096)),
    "Lumina2Transformer2DModel": ({"num_layers": 2}, MAPS | text(1024) | {
        "encoder_attention_mask": torch.ones(1, 77, dtype=torch.bool)}),
    "MochiTransformer3DModel": ({"num_layers": 2}, VIDEO | text(4096) | {
        "hidden_states": (1, 12, 5, 32, 32), "encoder_attention_mask": torch.ones(1, 77, dtype=torch.bool)}),
    "PixArtTransformer2DModel": ({"sample_size": 64}, {
        "hidden_states": (1, 4, 64, 64), "timestep": (1,)} | text(1152)),
    "SD3Transformer2DModel": ({}, MAPS | text(4096) | {"pooled_projections": (1, 2048)}),
    "SD3ControlNetModel": ({}, MAPS | text(4096) | {
        "pooled_projections": (1, 2048), "controlnet_cond": (1, 16, 64, 64)}),
    "SanaTransformer2DModel": ({}, {"hidden_states": (1, 32, 32, 32), "timestep": (1,)} | text(2304)),
    "SanaControlNetModel": ({}, {
        "hidden_states": (1, 32, 32, 32), "timestep": (1,), "controlnet_cond": (1, 32, 32, 32)} | text(2304)),
    "SanaVideoTransformer3DModel": ({}, VIDEO | text(2304)), "SkyReelsV2Transformer3DModel": ({}, VIDEO | text(4096)),
    "StableAudioDiTModel": ({}, {
        "hidden_states": (1, 64, 256), "timestep": (1,), "global_hidden_states": (1, 1, 1536)} | text(768)),
    "Transformer2DModel": ({"in_channels": 32}, {"hidden_states": (1, 32, 16, 16)}),
    "TransformerTemporalModel": ({"in_channels": 32}, {"hidden_states": (16, 32, 8, 8), "num_frames": 16}),
    "UVit2DModel": ({}, {"input_ids": torch.zeros(1, 16, 16).long(), "pooled_text_emb": (1, 768),
        "micro_conds": (1, 5)} | text(768)),
    "ChronoEditTransformer3DModel": ({}, VIDEO | text(4096)), "WanTransformer3DModel": ({}, VIDEO | text(4096)),
    "WanVACETransformer3DModel": ({}, VIDEO | text(4096) | {"control_hidden_states": (1, 96, 5, 32, 32)}),
    "AnyFlowTransformer3DModel": ({}, text(4096) | {
        "hidden_states": (1, 5, 16, 32, 32), "timestep": (1, 5), "r_timestep": (1, 5)}),
    "ZImageTransformer2DModel": ({}, {"x": [(16, 1, 32, 32)], "t": (1,), "cap_feats": [(77, 2560)]}),
    "JoyImageEditTransformer3DModel": ({}, VIDEO | text(4096)),
}  # fmt: skip
CUBE = (1, 1, 96, 96, 96)
CHANNELS = {"channels": (16, 32, 64, 128), "strides": (2, 2, 2)}
PLANE = {"in_shape": (1, 64, 64), "channels": (16, 32), "strides": (2, 2)}
VOLUMES = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
#: MONAI's networks by name: the arguments of their constructors, and the shapes that they take.
MONAI: dict[str, tuple[dict[str, Any], Any]] = {
    "AHNet": ({}, (1, 1, 128, 128, 64)), "AttentionUnet": (VOLUMES | CHANNELS, CUBE),
    "UNETR": ({"in_channels": 1, "out_channels": 2, "img_size": 96}, CUBE),
    "AutoEncoder": (VOLUMES | CHANNELS | {"strides": (2, 2, 2, 2)}, CUBE),
    "BasicUNet": ({}, CUBE), "BasicUNetPlusPlus": ({}, CUBE), "DenseNet121": (VOLUMES, CUBE),
    "DenseNet264": (VOLUMES, CUBE), "DiffusionModelUNet": (
        VOLUMES | {"channels": (32, 64, 64, 64)}, {"x": (1, 1, 32, 32, 32), "timesteps": (1,)}),
    "AutoencoderKL": ({"spatial_dims": 3, "channels": (32, 64, 64, 64)}, (1, 1, 32, 32, 32)),
    "DynUNet": (VOLUMES | {"kernel_size": [3] * 4, "strides": [1, 2, 2, 2], "upsample_kernel_size": [2] * 3}, CUBE),
    "EfficientNetBN": ({"model_name": "efficientnet-b0", "pretrained": False}, IMAGE), "FlexibleUNet": (
        {"in_channels": 3, "out_channels": 2, "backbone": "efficientnet-b0"}, IMAGE),
    "HighResNet": ({}, CUBE), "HoVerNet": ({"out_classes": 3}, (1, 3, 256, 256)), "MedNeXt": ({}, CUBE),
    "MILModel": ({"num_classes": 2, "pretrained": False}, (1, 4, 3, 224, 224)), "Quicknat": ({}, (1, 1, 64, 64)),
    "PatchDiscriminator": (VOLUMES | {"channels": 32}, CUBE), "SegResNet": ({}, CUBE), "SegResNetDS": ({}, CUBE),
    "SegResNetVAE": ({"input_image_size": CUBE[2:]}, CUBE), "SEResNet50": (
        {"spatial_dims": 3, "in_channels": 1, "num_classes": 2}, CUBE),
    "SwinUNETR": ({"in_channels": 1, "out_channels": 2}, CUBE), "UNet": (VOLUMES | CHANNELS, CUBE),
    "TorchVisionFCModel": ({"pretrained": False}, IMAGE), "VNet": ({}, CUBE),
    "ViT": ({"in_channels": 1, "img_size": 96, "patch_size": 16, "classification": True}, CUBE),
    "ViTAutoEnc": ({"in_channels": 1, "img_size": 96, "patch_size": 16}, CUBE), "VQVAE": (VOLUMES, CUBE),
    "MaskedAutoEncoderViT": ({"in_channels": 1, "img_size": 96, "patch_size": 16}, CUBE),
    "DecoderOnlyTransformer": ({"num_tokens": 256, "max_seq_len": 128, "attn_layers_dim": 64, "attn_layers_depth": 4,
        "attn_layers_heads": 4}, (1, 128)), "resnet50": ({"n_input_channels": 1}, CUBE), "RegUNet": (
        {"spatial_dims": 3, "in_channels": 2, "num_channel_initial": 16, "depth": 3}, (1, 2, 64, 64, 64)),
    "LocalNet": ({"spatial_dims": 3, "in_channels": 2, "num_channel_initial": 16, "extract_levels": (0, 1, 2)},
        (1, 2, 64, 64, 64)), "VoxelMorph": ({}, {"moving": (1, 1, 64, 64, 64), "fixed": (1, 1, 64, 64, 64)}),
    "VarAutoEncoder": (PLANE | {"spatial_dims": 2, "out_channels": 1, "latent_size": 16}, (1, 1, 64, 64)),
    "Discriminator": (PLANE, (1, 1, 64, 64)), "Critic": (PLANE, (1, 1, 64, 64)),
    "Classifier": (PLANE | {"classes": 5}, (1, 1, 64, 64)), "Regressor": (PLANE | {"out_shape": (2,)}, (1, 1, 64, 64)),
    "Generator": ({"latent_shape": (64,), "start_shape": (64, 8, 8), "channels": (32, 16, 1), "strides": (2, 2, 1)},
        (1, 64)), "FullyConnectedNet": (
        {"in_channels": 64, "out_channels": 10, "hidden_channels": (32, 16)}, (1, 64)),
    "VarFullyConnectedNet": ({"in_channels": 64, "out_channels": 10, "latent_size": 8, "encode_channels": (32,),
        "decode_channels": (32,)}, (1, 64)), "DAF3D": ({"in_channels": 1, "out_channels": 2}, (1, 1, 64, 64, 64)),
    "MultiScalePatchDiscriminator": ({"num_d": 2, "num_layers_d": 3, "spatial_dims": 2, "channels": 8,
        "in_channels": 3, "out_channels": 1}, (1, 3, 256, 256)), "ControlNet": (
        {"spatial_dims": 2, "in_channels": 1, "channels": (32, 64, 64, 64)},
        {"x": (1, 1, 32, 32), "timesteps": (1,), "controlnet_cond": (1, 1, 256, 256)}),
    "SPADEDiffusionModelUNet": ({"spatial_dims": 2, "in_channels": 1, "out_channels": 1, "label_nc": 3,
        "channels": (32, 64, 64, 64)}, {"x": (1, 1, 32, 32), "timesteps": (1,), "seg": (1, 3, 32, 32)}),
    "SPADEAutoencoderKL": ({"spatial_dims": 2, "label_nc": 3, "channels": (32, 64, 64, 64)},
        {"x": (1, 1, 64, 64), "seg": (1, 3, 64, 64)}), "VoxelMorphUNet": ({"spatial_dims": 3, "in_channels": 2,
        "unet_out_channels": 32, "channels": (16, 32, 32, 32, 32, 32), "final_conv_channels": (16, 16)},
        (1, 2, 64, 64, 64)), "SegResNetDS2": ({}, CUBE),
    **dict.fromkeys(("SENet154", "SEResNet101", "SEResNext50"),
        ({"spatial_dims": 3, "in_channels": 1, "num_classes": 2}, CUBE)),
    **dict.fromkeys(("resnet10", "resnet18", "resnet34", "resnet101"), ({"n_input_channels": 1}, CUBE)),
    "GlobalNet": ({"image_size": [64] * 3, "spatial_dims": 3, "in_channels": 2, "num_channel_initial": 16, "depth": 3},
        (1, 2, 64, 64, 64)),
}  # fmt: skip
PATCH = (8, 1, 32, 32)
#: kornia's networks by the name of their class in kornia.feature or behind their module.
KORNIA: dict[str, tuple[dict[str, Any], Any]] = {
    "feature:ALIKED": ({}, IMAGE), "feature:DeFMO": ({}, (1, 6, 224, 224)), "feature:DISK": ({}, (1, 3, 256, 256)),
    "feature:HardNet": ({}, PATCH), "feature:HardNet8": ({}, PATCH), "feature:HyNet": ({}, PATCH),
    "feature:KeyNet": ({}, (1, 1, 224, 224)), "feature:OriNet": ({}, PATCH), "feature:SOSNet": ({}, PATCH),
    "feature:LoFTR": ({}, [{"image0": (1, 1, 128, 128), "image1": (1, 1, 128, 128)}]), "feature:TFeat": ({}, PATCH),
    "feature:SOLD2_detector": ({}, (1, 1, 64, 64)), "feature:XFeatModel": ({}, (1, 3, 256, 256)),
    "feature:PatchAffineShapeEstimator": ({}, (8, 1, 19, 19)), "feature:SIFTDescriptor": ({}, (8, 1, 41, 41)),
    "feature:PatchDominantGradientOrientation": ({}, PATCH), "feature:CornerHarris": ({"k": 0.04}, IMAGE),
    "feature:CornerGFTT": ({}, IMAGE), "feature:BlobHessian": ({}, IMAGE),
    "models.dexined:DexiNed": ({}, IMAGE), "models.tiny_vit:TinyViT": ({}, IMAGE),
    "models.vit:VisionTransformer": ({}, IMAGE), "models.vit_mobile:MobileViT": ({}, (1, 3, 256, 256)),
}  # fmt: skip
