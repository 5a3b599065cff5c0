"""The bridge: an implementation in a torch model is torch's own layer in everything but who computes it."""

import copy

import pytest

torch = pytest.importorskip("torch")

import bnbench.nn as bridge  # noqa: E402 - needs torch
from bnbench.model import Implementation  # noqa: E402
from bnbench.mutants import ALL_MUTANTS, forward_of  # noqa: E402
from bnbench.registry import UnknownImplementationError, discover  # noqa: E402

REGISTRY = discover()
AVAILABLE = [i for i in REGISTRY.select(()) if not REGISTRY.missing(i)]
NAMES = {norm: [i.name for i in AVAILABLE if i.capabilities.norm == norm] for norm in ("batch", "layer", "group")}
MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}
PAIRS = [
    (torch.nn.BatchNorm1d, (3,), (5, 3), "batch"),
    (torch.nn.BatchNorm1d, (3,), (5, 3, 2), "batch"),
    (torch.nn.BatchNorm2d, (3,), (4, 3, 2, 2), "batch"),
    (torch.nn.BatchNorm3d, (3,), (2, 3, 2, 2, 2), "batch"),
    (torch.nn.LayerNorm, (6,), (4, 6), "layer"),
    (torch.nn.LayerNorm, ((2, 3),), (4, 5, 2, 3), "layer"),
    (torch.nn.GroupNorm, (2, 4), (3, 4), "group"),
    (torch.nn.GroupNorm, (2, 4), (3, 4, 2, 2), "group"),
]
EACH = [(kind, arguments, shape, name) for kind, arguments, shape, norm in PAIRS for name in NAMES[norm]]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # teams of threads that wait for each other cost more than these arrays
    yield
    torch.set_num_threads(before)


def draws(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def scrambled(layer):
    """Every parameter and running statistic away from where it starts."""
    with torch.no_grad():
        for number, tensor in enumerate(layer.state_dict().values()):
            if tensor.is_floating_point():
                tensor.copy_(0.5 + draws(tensor.shape, 10 + number).abs())
    return layer


def distance(a, b):
    """max |a - b| in units of the largest value; of zeros in units of 1."""
    a, b = a.detach(), b.detach()
    return float((a - b).abs().max() / (b.abs().max() or 1))


@pytest.mark.parametrize(("kind", "arguments", "shape", "name"), EACH)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_outputs_gradients_and_state_are_those_of_torchs_layer(kind, arguments, shape, name, training):
    theirs = scrambled(kind(*arguments, dtype=torch.float64)).train(training)
    ours = bridge.replace(copy.deepcopy(theirs), name)
    x, dy = draws(shape, 1), draws(shape, 2)
    got, expected = (a.clone().requires_grad_() for a in (x, x))
    for layer, given in ((ours, got), (theirs, expected)):
        for _ in range(2):  # the second call starts from statistics that the first has moved
            y = layer(given)
            y.backward(dy)
        given.y = y.detach()

    assert isinstance(ours, kind)
    assert distance(got.y, expected.y) <= 1e-12
    assert distance(got.grad, expected.grad) <= 1e-11
    for ours_, theirs_ in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert distance(ours_.grad, theirs_.grad) <= 1e-12
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert distance(ours.state_dict()[key].double(), value.double()) <= 1e-13, key


@pytest.mark.parametrize(("kind", "arguments", "shape", "name"), EACH)
def test_gradcheck_passes_in_float64(kind, arguments, shape, name):
    layer = bridge.replace(scrambled(kind(*arguments, dtype=torch.float64)), name)
    state = {key: value.clone() for key, value in layer.named_buffers()}
    parameters = dict(layer.named_parameters())

    def call(x, *values):
        own = dict(zip(parameters, values, strict=True)) | {key: value.clone() for key, value in state.items()}
        return torch.func.functional_call(layer, own, (x,))

    values = [p.detach().clone().requires_grad_() for p in parameters.values()]
    assert torch.autograd.gradcheck(call, (draws(shape, 3).requires_grad_(), *values))


def test_gradcheck_does_not_pass_what_is_wrong():
    layer = bridge.BatchNorm1d(
        3, implementation=MUTANTS["dx_without_the_mean_path"].implementation(), dtype=torch.float64
    )
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(layer, (draws((5, 3)).requires_grad_(),))


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("options", [{}, {"affine": False}, {"track_running_stats": False}], ids=str)
@pytest.mark.parametrize("name", ["numpy_staged", "c_fused"])  # divisors M and M - 1 of the kept variance
def test_the_options_of_batch_norm_mean_what_they_mean_in_torch(name, options, momentum):
    theirs = torch.nn.BatchNorm1d(3, momentum=momentum, dtype=torch.float64, **options)
    ours = bridge.BatchNorm1d(3, momentum=momentum, dtype=torch.float64, implementation=name, **options)
    for step in range(3):
        x = draws((7, 3), step)
        assert distance(ours(x), theirs(x)) <= 1e-13
    ours.eval(), theirs.eval()
    assert distance(ours(x), theirs(x)) <= 1e-13
    for key, value in theirs.state_dict().items():
        assert distance(ours.state_dict()[key].double(), value.double()) <= 1e-14, key


def network():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(inplace=True),
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 5), torch.nn.BatchNorm1d(5)),
    ).double()  # fmt: skip


def test_a_checkpoint_goes_from_torch_to_an_implementation_and_back():
    theirs = network()
    theirs(draws((4, 1, 8, 8)))
    ours = bridge.replace(network(), "numpy_simplified")
    ours.load_state_dict(theirs.state_dict())
    back = network()
    back.load_state_dict(ours.state_dict())
    x = draws((4, 1, 8, 8), 1)

    assert distance(ours.eval()(x), theirs.eval()(x)) <= 1e-13
    assert torch.equal(back.eval()(x), theirs(x))


def test_replace_keeps_parameters_mode_and_hooks_and_changes_every_layer():
    model = network().eval()
    before, calls = list(model.parameters()), []
    model[1].register_forward_hook(lambda *_: calls.append(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    result = bridge.replace(model, "numpy_staged")
    result(draws((2, 1, 8, 8)))

    assert result is model
    assert [type(model[1]), type(model[3][2])] == [bridge.BatchNorm2d, bridge.BatchNorm1d]
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    assert calls
    assert not model[1].training
    model.train()(draws((2, 1, 8, 8))).square().sum().backward()
    held = model[1].weight.detach().clone()
    optimizer.step()
    assert not torch.equal(model[1].weight, held)


def test_another_implementation_takes_the_place_of_the_first():
    model = bridge.replace(bridge.replace(network(), "numpy_staged"), "c_fused")
    assert {m.loaded.name for m in model.modules() if hasattr(m, "loaded")} == {"c_fused"}


def test_a_layer_that_stands_at_two_places_stays_one():
    norm = torch.nn.BatchNorm1d(3)
    model = bridge.replace(torch.nn.ModuleDict({"a": norm, "b": norm}), "numpy_staged")
    assert model["a"] is model["b"]
    assert isinstance(model["b"], bridge.BatchNorm1d)


def test_a_copied_model_has_parameters_of_its_own():
    model = bridge.replace(network(), "c_fused")
    other = copy.deepcopy(model)
    other(draws((4, 1, 8, 8)))
    assert model[1].num_batches_tracked == 0
    assert other[1].num_batches_tracked == 1


def test_a_second_derivative_is_refused_in_plain_words():
    layer = bridge.BatchNorm1d(3, dtype=torch.float64)
    x = draws((5, 3)).requires_grad_()
    (dx,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivative only"):
        dx.square().sum().backward()


def test_an_input_that_changes_before_the_backward_is_noticed():
    layer = bridge.BatchNorm1d(3, dtype=torch.float64)
    x = draws((5, 3)).requires_grad_() * 1
    y = layer(x)
    with torch.no_grad():
        x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: bridge.BatchNorm1d(3, implementation="numpy_stagd"), UnknownImplementationError, "numpy_staged"),
        (lambda: bridge.BatchNorm1d(3, implementation="numpy_layer_norm"), ValueError, "is layer norm, expected batch"),
        (lambda: bridge.replace(torch.nn.Linear(2, 2), "numpy_staged"), ValueError, "no layer of torch"),
        (lambda: bridge.replace(network(), "numpy_rms_norm"), ValueError, "is rms norm"),
        (lambda: bridge.BatchNorm1d(3)(torch.ones(1, 3)), ValueError, "more than 1 value per channel"),
        (lambda: bridge.BatchNorm1d(3)(torch.ones(2, 3, 4, 4)), ValueError, "2D or 3D"),
        (lambda: bridge.BatchNorm1d(3).half()(torch.ones(2, 3).half()), TypeError, "got float16"),
        (lambda: bridge.LayerNorm(3)(torch.ones(2, 4)), ValueError, r"ends in \[3\]"),
        (lambda: bridge.BatchNorm1d(3)(torch.ones(2, 3).to("meta")), TypeError, "on the CPU"),
    ],
)
def test_what_can_not_be_computed_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_an_answer_of_another_dtype_or_shape_is_an_error_and_not_broadcast():
    def short_dbeta(*arrays, **options):
        y, running, vjp = forward_of()(*arrays, **options)
        return y, running, lambda dy: (*vjp(dy)[:2], vjp(dy)[2][:1])

    promoted = bridge.BatchNorm1d(3, implementation=MUTANTS["float64_from_float32"].implementation())
    with pytest.raises(TypeError, match="dx came back as float64"):
        promoted(draws((4, 3), dtype=torch.float32).requires_grad_()).sum().backward()
    short = bridge.BatchNorm1d(3, implementation=Implementation(name="short", load=lambda: short_dbeta))
    with pytest.raises(TypeError, match=r"dbeta came back as float32 \(1,\)"):
        short(draws((4, 3), dtype=torch.float32).requires_grad_()).sum().backward()
