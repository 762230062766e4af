"""Caffe's messages, made at run time with the protobuf package: names, numbers and defaults of the fields that matter.

Definitions of networks (.prototxt) may have every field that Caffe itself accepts in them, but weights: a misspelt one
is an error, as it is in Caffe. Of files of weights (.caffemodel) only blobs are looked at, layer by layer.
"""

from functools import cache
from typing import Any

PACKAGE = "caffe"

_FILLER = "weight_filler {} FillerParameter, bias_filler {} FillerParameter"
_ENGINE = "DEFAULT CAFFE CUDNN"
_SOURCE = "source {} string, batch_size {} uint32"

ENUMS = {
    "FillerParameter": {"VarianceNorm": "FAN_IN FAN_OUT AVERAGE"},
    "NetState": {"Phase": "TRAIN TEST"},
    "NetStateRule": {"Phase": "TRAIN TEST"},
    "ParamSpec": {"DimCheckMode": "STRICT PERMISSIVE"},
    "LayerParameter": {"Phase": "TRAIN TEST"},
    "V1LayerParameter": {
        "DimCheckMode": "STRICT PERMISSIVE",
        "LayerType": (
            "NONE ACCURACY BNLL CONCAT CONVOLUTION DATA DROPOUT EUCLIDEAN_LOSS FLATTEN HDF5_DATA HDF5_OUTPUT IM2COL "
            "IMAGE_DATA INFOGAIN_LOSS INNER_PRODUCT LRN MULTINOMIAL_LOGISTIC_LOSS POOLING RELU SIGMOID SOFTMAX "
            "SOFTMAX_LOSS SPLIT TANH WINDOW_DATA ELTWISE POWER SIGMOID_CROSS_ENTROPY_LOSS HINGE_LOSS MEMORY_DATA "
            "ARGMAX THRESHOLD DUMMY_DATA SLICE MVN ABSVAL SILENCE CONTRASTIVE_LOSS EXP DECONVOLUTION"
        ),
    },
    "LossParameter": {"NormalizationMode": "FULL VALID BATCH_SIZE NONE"},
    "ConvolutionParameter": {"Engine": _ENGINE},
    "DataParameter": {"DB": "LEVELDB LMDB"},
    "EltwiseParameter": {"EltwiseOp": "PROD SUM MAX"},
    "HingeLossParameter": {"Norm": "_ L1 L2"},
    "LRNParameter": {"NormRegion": "ACROSS_CHANNELS WITHIN_CHANNEL", "Engine": _ENGINE},
    "PoolingParameter": {"PoolMethod": "MAX AVE STOCHASTIC", "Engine": _ENGINE, "RoundMode": "CEIL FLOOR"},
    "ReLUParameter": {"Engine": _ENGINE},
    "SigmoidParameter": {"Engine": _ENGINE},
    "SoftmaxParameter": {"Engine": _ENGINE},
    "TanHParameter": {"Engine": _ENGINE},
}
"""The enumerations of each message; names count from 0."""

_PARAMETERS = {
    # which of Caffe's kinds of layers, the number of its settings in a layer of either version (0: it has none)
    "accuracy": ("AccuracyParameter", 102, 27),
    "argmax": ("ArgMaxParameter", 103, 23),
    "batch_norm": ("BatchNormParameter", 139, 0),
    "bias": ("BiasParameter", 141, 0),
    "clip": ("ClipParameter", 148, 0),
    "concat": ("ConcatParameter", 104, 9),
    "convolution": ("ConvolutionParameter", 106, 10),
    "data": ("DataParameter", 107, 11),
    "dropout": ("DropoutParameter", 108, 12),
    "dummy_data": ("DummyDataParameter", 109, 26),
    "eltwise": ("EltwiseParameter", 110, 24),
    "elu": ("ELUParameter", 140, 0),
    "exp": ("ExpParameter", 111, 41),
    "flatten": ("FlattenParameter", 135, 0),
    "hdf5_data": ("HDF5DataParameter", 112, 13),
    "hinge_loss": ("HingeLossParameter", 114, 29),
    "image_data": ("ImageDataParameter", 115, 15),
    "inner_product": ("InnerProductParameter", 117, 17),
    "input": ("InputParameter", 143, 0),
    "log": ("ExpParameter", 134, 0),
    "loss": ("LossParameter", 101, 42),
    "lrn": ("LRNParameter", 118, 18),
    "memory_data": ("MemoryDataParameter", 119, 22),
    "pooling": ("PoolingParameter", 121, 19),
    "power": ("PowerParameter", 122, 21),
    "prelu": ("PReLUParameter", 131, 0),
    "relu": ("ReLUParameter", 123, 30),
    "reshape": ("ReshapeParameter", 133, 0),
    "scale": ("ScaleParameter", 142, 0),
    "sigmoid": ("SigmoidParameter", 124, 38),
    "slice": ("SliceParameter", 126, 31),
    "softmax": ("SoftmaxParameter", 125, 39),
    "swish": ("SwishParameter", 147, 0),
    "tanh": ("TanHParameter", 127, 37),
    "transform": ("TransformationParameter", 100, 36),
    "window_data": ("WindowDataParameter", 129, 20),
}


def _parameters(version: int) -> str:
    found = [(name, spec[0], spec[version]) for name, spec in _PARAMETERS.items() if spec[version]]
    return ", ".join(f"{name}_param {number} {kind}" for name, kind, number in found)


MESSAGES = {
    # arrays in files of weights, without their numbers
    "StoredBlob": "num 1 int32, channels 2 int32, height 3 int32, width 4 int32, shape 7 BlobShape",
    # definitions
    "NetParameter": (
        "name 1 string, input 3 string*, input_shape 8 BlobShape*, input_dim 4 int32*, force_backward 5 bool, "
        "state 6 NetState, debug_info 7 bool, layer 100 LayerParameter*, layers 2 V1LayerParameter*"
    ),
    "LayerParameter": (
        "name 1 string, type 2 string, bottom 3 string*, top 4 string*, phase 10 Phase, loss_weight 5 float*, "
        "param 6 ParamSpec*, propagate_down 11 bool*, include 8 NetStateRule*, exclude 9 NetStateRule*, "
        f"{_parameters(1)}"
    ),
    "V1LayerParameter": (
        "bottom 2 string*, top 3 string*, name 4 string, include 32 NetStateRule*, exclude 33 NetStateRule*, "
        "type 5 LayerType, param 1001 string*, blob_share_mode 1002 DimCheckMode*, blobs_lr 7 float*, "
        f"weight_decay 8 float*, loss_weight 35 float*, {_parameters(2)}"
    ),
    "BlobShape": "dim 1 int64*",
    "NetState": "phase 1 Phase=TEST, level 2 int32, stage 3 string*",
    "NetStateRule": "phase 1 Phase, min_level 2 int32, max_level 3 int32, stage 4 string*, not_stage 5 string*",
    "ParamSpec": "name 1 string, share_mode 2 DimCheckMode, lr_mult 3 float=1, decay_mult 4 float=1",
    "FillerParameter": (
        "type 1 string, value 2 float, min 3 float, max 4 float=1, mean 5 float, std 6 float=1, sparse 7 int32=-1, "
        "variance_norm 8 VarianceNorm"
    ),
    # settings of layers
    "AccuracyParameter": "top_k 1 uint32=1, axis 2 int32=1, ignore_label 3 int32",
    "ArgMaxParameter": "out_max_val 1 bool, top_k 2 uint32=1, axis 3 int32",
    "BatchNormParameter": "use_global_stats 1 bool, moving_average_fraction 2 float=0.999, eps 3 float=1e-5",
    "BiasParameter": "axis 1 int32=1, num_axes 2 int32=1, filler 3 FillerParameter",
    "ClipParameter": "min 1 float, max 2 float",
    "ConcatParameter": "axis 2 int32=1, concat_dim 1 uint32=1",
    "ConvolutionParameter": (
        "num_output 1 uint32, bias_term 2 bool=true, pad 3 uint32*, kernel_size 4 uint32*, stride 6 uint32*, "
        "dilation 18 uint32*, pad_h 9 uint32, pad_w 10 uint32, kernel_h 11 uint32, kernel_w 12 uint32, "
        f"stride_h 13 uint32, stride_w 14 uint32, group 5 uint32=1, {_FILLER.format(7, 8)}, engine 15 Engine, "
        "axis 16 int32=1, force_nd_im2col 17 bool"
    ),
    "DataParameter": (
        f"{_SOURCE.format(1, 4)}, rand_skip 7 uint32, backend 8 DB, scale 2 float=1, mean_file 3 string, "
        "crop_size 5 uint32, mirror 6 bool, force_encoded_color 9 bool, prefetch 10 uint32=4"
    ),
    "DropoutParameter": "dropout_ratio 1 float=0.5",
    "DummyDataParameter": (
        "data_filler 1 FillerParameter*, shape 6 BlobShape*, num 2 uint32*, channels 3 uint32*, height 4 uint32*, "
        "width 5 uint32*"
    ),
    "EltwiseParameter": "operation 1 EltwiseOp=SUM, coeff 2 float*, stable_prod_grad 3 bool=true",
    "ELUParameter": "alpha 1 float=1",
    "ExpParameter": "base 1 float=-1, scale 2 float=1, shift 3 float",
    "FlattenParameter": "axis 1 int32=1, end_axis 2 int32=-1",
    "HDF5DataParameter": f"{_SOURCE.format(1, 2)}, shuffle 3 bool",
    "HingeLossParameter": "norm 1 Norm=L1",
    "ImageDataParameter": (
        f"{_SOURCE.format(1, 4)}, rand_skip 7 uint32, shuffle 8 bool, new_height 9 uint32, new_width 10 uint32, "
        "is_color 11 bool=true, scale 2 float=1, mean_file 3 string, crop_size 5 uint32, mirror 6 bool, "
        "root_folder 12 string"
    ),
    "InnerProductParameter": (
        f"num_output 1 uint32, bias_term 2 bool=true, {_FILLER.format(3, 4)}, axis 5 int32=1, transpose 6 bool"
    ),
    "InputParameter": "shape 1 BlobShape*",
    "LossParameter": "ignore_label 1 int32, normalization 3 NormalizationMode=VALID, normalize 2 bool",
    "LRNParameter": (
        "local_size 1 uint32=5, alpha 2 float=1, beta 3 float=0.75, norm_region 4 NormRegion, k 5 float=1, "
        "engine 6 Engine"
    ),
    "MemoryDataParameter": "batch_size 1 uint32, channels 2 uint32, height 3 uint32, width 4 uint32",
    "PoolingParameter": (
        "pool 1 PoolMethod, pad 4 uint32, pad_h 9 uint32, pad_w 10 uint32, kernel_size 2 uint32, kernel_h 5 uint32, "
        "kernel_w 6 uint32, stride 3 uint32=1, stride_h 7 uint32, stride_w 8 uint32, engine 11 Engine, "
        "global_pooling 12 bool, round_mode 13 RoundMode, ceil_mode 1000 bool=true"  # the last is of others than BVLC
    ),
    "PowerParameter": "power 1 float=1, scale 2 float=1, shift 3 float",
    "PReLUParameter": "filler 1 FillerParameter, channel_shared 2 bool",
    "ReLUParameter": "negative_slope 1 float, engine 2 Engine",
    "ReshapeParameter": "shape 1 BlobShape, axis 2 int32, num_axes 3 int32=-1",
    "ScaleParameter": (
        "axis 1 int32=1, num_axes 2 int32=1, filler 3 FillerParameter, bias_term 4 bool, bias_filler 5 FillerParameter"
    ),
    "SigmoidParameter": "engine 1 Engine",
    "SliceParameter": "axis 3 int32=1, slice_point 2 uint32*, slice_dim 1 uint32=1",
    "SoftmaxParameter": "engine 1 Engine, axis 2 int32=1",
    "SwishParameter": "beta 1 float=1",
    "TanHParameter": "engine 1 Engine",
    "TransformationParameter": (
        "scale 1 float=1, mirror 2 bool, crop_size 3 uint32, mean_file 4 string, mean_value 5 float*, "
        "force_color 6 bool, force_gray 7 bool"
    ),
    "WindowDataParameter": (
        f"{_SOURCE.format(1, 4)}, scale 2 float=1, mean_file 3 string, crop_size 5 uint32, mirror 6 bool, "
        "fg_threshold 7 float=0.5, bg_threshold 8 float=0.5, fg_fraction 9 float=0.25, context_pad 10 uint32, "
        "crop_mode 11 string, cache_images 12 bool, root_folder 13 string"
    ),
}
"""The fields of each message: name, number and type; * stands for a list, = for a default that is not zero."""

PLAIN = ("bool", "float", "int32", "int64", "string", "uint32")
"""Types of fields that are no messages and no enumerations."""


@cache
def message_class(name: str) -> Any:
    """Return the class of a message, such as NetParameter."""
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


@cache
def _pool() -> Any:
    """Return a pool of its own: programs that load Caffe as well have another description of these messages."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    file = descriptor_pb2.FileDescriptorProto(name="featuresharing/caffe.proto", package=PACKAGE, syntax="proto2")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for kind, values in ENUMS.get(name, {}).items():
            _add_enum(message, kind, values.split())
        for field in fields.split(", "):
            _add_field(message, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add_enum(message: Any, name: str, values: list[str]) -> None:
    enum = message.enum_type.add(name=name)
    numbers = list(range(len(values)))
    for number, value in zip(numbers, values, strict=True):
        if value != "_":
            enum.value.add(name=value, number=number)


def _add_field(message: Any, text: str) -> None:
    """Add a field such as ``eps 3 float=1e-5`` to the description of a message."""
    name, number, kind = text.split(" ")
    kind, _, default = kind.partition("=")
    field = message.field.add(name=name, number=int(number))
    field.label = field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
    kind = kind.rstrip("*")
    if kind in PLAIN:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
    elif kind in ENUMS.get(message.name, {}):
        field.type, field.type_name = field.TYPE_ENUM, f".{PACKAGE}.{message.name}.{kind}"
    else:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    if default:
        field.default_value = default
