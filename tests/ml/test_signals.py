from ml.signals import Feature, Signal, Slot

MAPS = Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.MAPS}))


def test_fitting_features_have_no_reason_against_them():
    assert MAPS.unmet("resnet", accepts=[Signal.IMAGE], provides=[Feature.POOLED, Feature.MAPS]) is None


def test_a_missing_feature_names_both_sides():
    reason = MAPS.unmet("vae", accepts=["image"], provides=["latent", "pooled"])

    assert reason == "needs maps; vae gives pooled, latent"


def test_a_wrong_signal_names_both_sides():
    assert MAPS.unmet("bert", accepts=["tokens"], provides=["maps"]) == "reads image; bert reads tokens"
