"""The end of an image model fits the classes of a task, and gives logits."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from own_models import FEATURES, LOGITS, PROBABILITIES, own_model

from mpvn.models.surgery.classifier import Fitted, with_classifier, with_logits
from mpvn.tasks import ActionRecognition, MultiLabelActions

FRAMES = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype("float32")


def fit(model: keras.Model, classes: int = 4, **options: object) -> Fitted:
    return with_classifier(model, classes, frames=FRAMES, **options)


def assert_can_be_perfect(model: keras.Model, classes: int) -> None:
    """With the weights of a perfect answer, its loss is 0: its outputs are logits."""
    last = [layer for layer in model._flatten_layers() if hasattr(layer, "bias")][-1]
    last.set_weights([np.zeros_like(each) for each in last.get_weights()])
    answer = np.full(classes, -200.0)
    answer[1] = 200.0
    last.bias.assign(answer)
    outputs = model(FRAMES[:1])
    assert float(ActionRecognition(classes).loss(np.array([1]), outputs)) < 1e-6
    labels = np.eye(classes, dtype="float32")[1:2]
    assert float(MultiLabelActions(classes).loss(labels, outputs)) < 1e-6


@pytest.mark.parametrize("kind", PROBABILITIES)
def test_a_classifier_is_kept_without_its_probabilities(kind: str) -> None:
    """A softmax was trained as logits: the loss of a perfect answer of 4 classes was .744."""
    model = own_model(PROBABILITIES[kind])
    before = np.asarray(ops.convert_to_numpy(model(FRAMES)), "float32")
    fitted = fit(model)
    assert "removed, because losses take logits; classifier" in "; ".join(fitted.remarks)
    assert fitted.remarks[-1].endswith("kept")
    logits = fitted.model(FRAMES)
    assert np.ptp(logits) > 0.1
    shares = {
        "sigmoid": ops.sigmoid,
        "logarithm": ops.log_softmax,
        "twice": lambda x: ops.softmax(ops.softmax(x)),
    }.get(kind, ops.softmax)
    tolerance = 0.01 if kind == "mixed precision" else 1e-5
    np.testing.assert_allclose(shares(logits), before, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(model(FRAMES), before)  # it is not changed
    assert_can_be_perfect(fitted.model, 4)


@pytest.mark.parametrize("kind", LOGITS)
def test_a_classifier_of_logits_is_kept_as_it_is(kind: str) -> None:
    model = own_model(LOGITS[kind])
    fitted = fit(model)
    assert fitted.model is model
    assert fitted.remarks == ("classifier 'scores' kept",)
    assert_can_be_perfect(model, 4)


@pytest.mark.parametrize("kind", ["dense", "operation", "nested"])
def test_a_classifier_of_another_number_of_classes_is_replaced(kind: str) -> None:
    model = own_model(PROBABILITIES[kind], classes=10)
    fitted = fit(model)
    assert "of 10 classes replaced by one of 4" in fitted.remarks[-1]
    features = keras.Model(model.input, model.get_layer("mean").output)
    fitted.model.get_layer("head.logits").set_weights([np.eye(FEATURES, 4), np.zeros(4)])
    np.testing.assert_allclose(fitted.model(FRAMES), features(FRAMES)[:, :4], rtol=1e-5)
    dropout = [x.rate for x in fitted.model.layers if isinstance(x, layers.Dropout)]
    assert dropout == ([0.5] if kind == "nested" else [])  # that before the old classifier
    assert_can_be_perfect(fitted.model, 4)


@pytest.mark.parametrize(
    ("model", "after"),
    [
        (lambda: own_model(pooled=False), "'joined' [6, 6, 8]"),
        (lambda: own_model(), "'mean' [8]"),
        (lambda: own_model(lambda x, n: layers.Dense(n, "relu", name="f")(x)), "'f' [4]"),
        (lambda: own_model(lambda x, n: layers.Reshape((2, 4), name="rows")(x)), "'rows' [2, 4]"),
        (
            lambda: own_model(
                lambda x, n: layers.Softmax()(
                    layers.BatchNormalization(name="n")(layers.Dense(n)(x))
                )
            ),
            "'n' [4]",
        ),
    ],
)
def test_maps_and_features_get_a_classifier(model: object, after: str) -> None:
    fitted = fit(model(), dropout=0.25)  # type: ignore[operator]
    assert fitted.remarks[-1] == f"classifier of 4 classes added after {after}"
    assert fitted.model.get_layer("head.dropout").rate == 0.25
    assert_can_be_perfect(fitted.model, 4)


def test_fully_convolutional_classifiers() -> None:
    """Classes of positions, and their mean; or a classifier of the mean, as a 1x1 convolution."""

    def of_positions(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        return layers.GlobalAveragePooling2D()(layers.Conv2D(classes, 1, activation="softmax")(x))

    def of_mean(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        return layers.Softmax()(layers.Flatten()(layers.Conv2D(classes, 1)(x)))

    for end in (of_positions, of_mean):
        for classes in (4, 7):
            fitted = fit(own_model(end, classes, pooled=False))
            assert ("kept" if classes == 4 else "of 7 classes repl") in fitted.remarks[-1]
            assert_can_be_perfect(fitted.model, 4)


def test_a_layer_by_name_gets_the_classifier() -> None:
    model = own_model(lambda x, n: [layers.Dense(n, name="a")(x), layers.Dense(2, name="b")(x)])
    with pytest.raises(ValueError, match=r"several outputs.*'a' \[4\], 'b' \[2\].*after='a'"):
        fit(model)
    for after, shape in (("mean", "[8]"), ("second", "[6, 6, 8]")):
        fitted = fit(model, after=after)
        assert fitted.remarks == (f"classifier of 4 classes added after {after!r} {shape}",)
        assert_can_be_perfect(fitted.model, 4)
    with pytest.raises(ValueError, match="Invalid after. .* such as .*'b'. Received: 'c'"):
        fit(model, after="c")
    twice = fit(fit(model, after="mean").model, 3, after="head.logits").model
    assert twice.get_layer("head_2.logits")


def test_hidden_probabilities_are_found_by_their_values() -> None:
    def by_hand(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        powers = ops.exp(layers.Dense(classes)(x) / 100)
        return powers / ops.sum(powers, axis=-1, keepdims=True)

    model = own_model(by_hand)
    with pytest.raises(ValueError, match="'own' ends in probabilities: .* after=NAME"):
        fit(model)
    assert_can_be_perfect(fit(model, after="mean").model, 4)


def test_dropout_without_a_new_classifier_is_refused() -> None:
    with pytest.raises(ValueError, match="keeps its classifier 'scores'.*Received: dropout=0.5"):
        fit(own_model(LOGITS["dense"]), dropout=0.5)


def test_heatmaps_are_logits_too() -> None:
    model = own_model(lambda x, n: layers.Conv2D(n, 1, activation="sigmoid")(x), pooled=False)
    fitted = with_logits(model)
    assert "sigmoid of" in fitted.remarks[0]
    np.testing.assert_allclose(ops.sigmoid(fitted.model(FRAMES)), model(FRAMES), rtol=1e-5)
    assert with_logits(own_model(pooled=False)).remarks == ()
