from ckptfmt.keras.classes import keras_version as keras_version
from ckptfmt.keras.keras_model import KerasModel as KerasModel
from ckptfmt.keras.open_model import open_keras_model as open_keras_model
from ckptfmt.keras.open_model import opened_keras_model as opened_keras_model
