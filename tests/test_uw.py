"""UW homework 2: compiling it, calling it, and saying what is wrong with it, on a bank of C files."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from bnbench.adapters.uw.compiler import compile_uw, find_compiler
from bnbench.adapters.uw.diagnosis import diagnose_compiled, find_memory_errors
from bnbench.adapters.uw.functions import edition_of, functions
from bnbench.adapters.uw.sanitizer import MemoryFinding, memory_finding
from bnbench.adapters.uw.stages import open_stages
from bnbench.diagnose.cause import Slip
from bnbench.diagnose.uw import StageVerdict
from bnbench.diagnose.uw_explain import SEQUENTIAL, misfit
from bnbench.diagnose.uw_formulas import RIGHT, evaluate
from bnbench.diagnose.uw_mistakes import mistakes
from bnbench.diagnose.uw_stages import ARGUMENTS, EPS, Answer, stage_cases

BANK = Path(__file__).resolve().parent / "bank" / "uw"
MANIFEST = tomllib.loads((BANK / "bank.toml").read_text())
WRONG = [entry["file"] for entry in MANIFEST["wrong"]]
CORRECT = [entry["file"] for entry in MANIFEST["correct"]]

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
sanitizers = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc with its sanitizers")


def compiled(source, folder, **options):
    source = source if isinstance(source, bytes) else source.encode()
    return compile_uw(source, folder, compiler=find_compiler(), **options)


def diagnosed(source, folder, *, seconds=5.0):
    result = compiled(source, folder)
    assert result.status == "compiled", result.message
    return {diagnosis.stage: diagnosis for diagnosis in diagnose_compiled(result, seconds=seconds)}


def changed(name, *edits):
    """A file of the bank with some text replaced, each piece occurring once."""
    source = (BANK / name).read_text()
    for old, new in edits:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    return source


def verdicts(found):
    return {stage: diagnosis.verdict for stage, diagnosis in found.items() if diagnosis.verdict != "right"}


def slips(diagnosis):
    return [(cause.quantity, cause.slip) for cause in diagnosis.causes]


@pytest.mark.parametrize("file", CORRECT)
def test_nothing_is_found_in_a_correct_file(file, tmp_path):
    found = diagnosed((BANK / file).read_bytes(), tmp_path)
    assert verdicts(found) == {}
    assert list(found) == list(ARGUMENTS)


@pytest.mark.parametrize("file", CORRECT)
def test_honest_float32_stays_far_below_the_limit(file, tmp_path):
    errors = [d.error for d in diagnosed((BANK / file).read_bytes(), tmp_path).values() if d.stage != "forward"]
    assert max(errors) <= SEQUENTIAL.limit / 8


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """What is found in the wrong files of the bank."""
    folder = tmp_path_factory.mktemp("bank")
    return {entry["file"]: diagnosed((BANK / entry["file"]).read_bytes(), folder) for entry in MANIFEST["wrong"]}


def test_causes_of_the_bank(bank):
    named = silent = 0
    astray = []
    for entry in MANIFEST["wrong"]:
        found = bank[entry["file"]]
        expected = (entry["quantity"], entry["slip"])
        others = {stage: verdict for stage, verdict in verdicts(found).items() if stage != entry["function"]}
        first = found[entry["function"]].causes[:1]
        if others or found[entry["function"]].verdict == "right":
            astray.append((entry["file"], others))
        elif [(cause.quantity, cause.slip) for cause in first] == [expected] and first[0].decided:
            named += 1
        elif not first or not first[0].decided:
            silent += 1
        else:
            astray.append((entry["file"], first))
    print(f"UW bank: {named} of {len(WRONG)} causes right, {silent} without a cause, {len(astray)} wrong")  # noqa: T201 - the score
    assert astray == []
    assert named == len(WRONG) >= 14


@pytest.mark.parametrize("entry", MANIFEST["wrong"], ids=lambda entry: entry["file"])
def test_the_lines_are_those_of_the_wrong_function(entry, bank):
    first, last = bank[entry["file"]][entry["function"]].lines
    lines = (BANK / entry["file"]).read_text().splitlines()
    assert entry["function"] in lines[first - 1]
    assert lines[last - 1] == "}"


def test_a_crash_is_a_status_and_the_other_stages_are_still_judged(tmp_path):
    found = diagnosed((BANK / "segfault.c").read_bytes(), tmp_path)
    assert verdicts(found) == {"delta_variance": StageVerdict.CRASHED, "forward": StageVerdict.FOLLOWS}
    assert "SIGSEGV" in found["delta_variance"].causes[0].evidence


def test_an_endless_loop_is_a_status_and_the_other_stages_are_still_judged(tmp_path):
    found = diagnosed((BANK / "infinite_loop.c").read_bytes(), tmp_path, seconds=0.5)
    assert verdicts(found) == {"delta_mean": StageVerdict.TIMEOUT, "forward": StageVerdict.FOLLOWS}


def test_a_starter_body_is_unimplemented_and_not_wrong(tmp_path):
    found = diagnosed((BANK / "unfinished.c").read_bytes(), tmp_path)
    unimplemented = StageVerdict.UNIMPLEMENTED
    assert verdicts(found) == {"delta_variance": unimplemented, "delta_batch_norm": unimplemented}
    assert found["delta_variance"].causes[0].slip is Slip.UNIMPLEMENTED


def test_zeros_from_a_body_that_works_are_wrong(tmp_path):
    zeros = changed("correct_sequential.c", ("v.data[i] / (x.rows * n)", "v.data[i] * (1 / (x.rows * n)) * 0"))
    found = diagnosed(zeros, tmp_path)
    assert verdicts(found) == {"variance": StageVerdict.WRONG}


def test_a_renamed_function_is_missing(tmp_path):
    source = (BANK / "correct_sequential.c").read_text().replace("delta_mean(", "deltamean(")
    found = diagnosed(source, tmp_path)
    assert verdicts(found) == {"delta_mean": StageVerdict.MISSING, "forward": StageVerdict.FOLLOWS}


def test_stages_that_agree_with_a_kept_sd_follow_the_variance(tmp_path):
    source = changed(
        "correct_helpers.c",
        ("v.data[g] = sum / x.rows / n;", "v.data[g] = sqrt(sum / x.rows / n);"),
        ("1.0 / sqrt(v.data[group] + epsilon)", "1.0 / (v.data[group] + epsilon)"),
    )
    found = diagnosed(source, tmp_path)
    wrong = [stage for stage, verdict in verdicts(found).items() if verdict is StageVerdict.WRONG]
    assert wrong == ["variance"]
    assert found["normalize"].verdict is StageVerdict.FOLLOWS


@pytest.mark.parametrize(("text", "eps"), [("1e-3", 1e-3), ("1e-10", 1e-10), ("3e-7", 3e-7)])
def test_another_eps_everywhere_is_one_finding_with_its_value(tmp_path, text, eps):
    found = diagnosed(changed("correct_helpers.c", ("epsilon = 1e-5", f"epsilon = {text}")), tmp_path)
    assert [stage for stage, verdict in verdicts(found).items() if verdict is StageVerdict.WRONG] == ["normalize"]
    assert slips(found["normalize"]) == [("sd", Slip.EPS)]
    assert found["normalize"].eps == pytest.approx(eps, rel=1e-4)


def test_the_older_edition_may_choose_eps_but_must_keep_it(tmp_path):
    right = diagnosed((BANK / "correct_spatial.c").read_bytes(), tmp_path)
    assert right["normalize"].eps == pytest.approx(np.finfo(np.float32).eps, rel=1e-4)
    once = "(-1.f / sqrtf(variance.data[j / spatial] + FLT_EPSILON))"
    found = diagnosed(changed("correct_spatial.c", (once, once.replace("FLT_EPSILON", "1e-4f"))), tmp_path)
    assert verdicts(found) == {"delta_mean": StageVerdict.WRONG}
    assert slips(found["delta_mean"]) == [("dmu", Slip.EPS)]


def test_two_mistakes_in_a_function_are_both_named(tmp_path):
    once = "-1.0f / sqrtf(v.data[i] + EPS);"
    source = changed("correct_sequential.c", (once, "1.0f / sqrtf(v.data[i] + EPS) / d.rows;"))
    found = diagnosed(source, tmp_path)
    assert verdicts(found) == {"delta_mean": StageVerdict.WRONG}
    assert slips(found["delta_mean"]) == [("dmu", Slip.SIGN), ("dmu", Slip.COUNT)]


def test_what_no_known_mistake_explains_is_wrong_without_a_cause(tmp_path):
    once = "float top = x.data[i * x.cols + j] - m.data[j / n];"
    found = diagnosed(changed("correct_sequential.c", (once, once.replace(";", " + 0.01f * i;"))), tmp_path)
    assert verdicts(found) == {"normalize": StageVerdict.WRONG}
    assert [(cause.slip, cause.decided) for cause in found["normalize"].causes] == [(None, False)]


def test_a_mean_path_through_the_variance_is_no_mistake(tmp_path):
    """It is zero: -2 / M times dv times the sum of x - m, which only rounding keeps from vanishing."""
    once = "            float through_m = dm.data[g] / count;\n"
    path = """
            float sum = 0;
            for (int k = 0; k < d.rows; ++k)
                for (int q = g * n; q < (g + 1) * n; ++q) sum += x.data[k * d.cols + q] - m.data[g];
            float through_m = (dm.data[g] - 2 * dv.data[g] * sum / count) / count;
"""
    assert verdicts(diagnosed(changed("correct_sequential.c", (once, path)), tmp_path)) == {}


def test_a_layer_that_keeps_an_old_input_is_told_so(tmp_path):
    kept = "    free_matrix(*l.x);\n    *l.x = copy_matrix(x);\n"
    source = changed("correct_sequential.c", (kept, "    if (!l.x->data) *l.x = copy_matrix(x);\n"))
    assert slips(diagnosed(source, tmp_path)["forward"]) == [("cache", Slip.STATE)]


def test_a_training_batch_normalized_by_the_rolling_averages_is_told_so(tmp_path):
    call = "matrix y = normalize(x, m, v, l.channels);"
    source = changed("correct_sequential.c", (call, call.replace("m, v", "l.rolling_mean, l.rolling_variance")))
    assert slips(diagnosed(source, tmp_path)["forward"]) == [("y", Slip.MODE)]


def test_what_does_not_compile_is_said_in_the_compilers_words_without_our_paths(tmp_path):
    result = compiled((BANK / "not_compiling.c").read_bytes(), tmp_path)
    assert result.status == "compile_error"
    assert result.message.startswith("batchnorm_layer.c:9:1: error: expected")
    assert str(tmp_path) not in result.message
    assert not result.library.exists()


def test_an_undefined_helper_is_a_compile_error_that_is_the_same_every_time(tmp_path):
    source = changed(
        "correct_spatial.c",
        ("#include <stdlib.h>\n", "#include <stdlib.h>\nmatrix no_such_helper(matrix m);\n"),
        ("matrix x = l.x[0];", "matrix x = no_such_helper(l.x[0]);"),
    )
    result = compiled(source, tmp_path)
    assert result.status == "compile_error"
    assert "undefined reference to `no_such_helper'" in result.message
    assert result.message == compiled(source, tmp_path).message


def test_the_4d_edition_is_named_as_unsupported(tmp_path):
    result = compiled("tensor forward_batchnorm2d_layer(layer *l, tensor x) { return x; }", tmp_path)
    assert result.status == "unsupported"


@sanitizers
def test_an_over_read_is_found_with_its_line(tmp_path):
    source = (BANK / "over_read.c").read_bytes()
    assert verdicts(diagnosed(source, tmp_path)) == {}, "its values are right: only the sanitizer sees it"
    sanitized = compiled(source, tmp_path, sanitize=True)
    lines = source.decode().splitlines()
    line = 1 + next(k for k, text in enumerate(lines) if "x.data[k] == x.data[k]" in text)
    assert find_memory_errors(sanitized) == (
        MemoryFinding(kind="heap-buffer-overflow", line=line, function="normalize"),
    )


@sanitizers
@pytest.mark.parametrize("file", CORRECT)
def test_the_sanitizers_find_nothing_in_a_correct_file(file, tmp_path):
    assert find_memory_errors(compiled((BANK / file).read_bytes(), tmp_path, sanitize=True)) == ()


def test_undefined_behaviour_is_read_with_its_line():
    found = functions("int f(int n)\n{\n    return 1 / n;\n}\n")
    words = "batch_norm.c:3:14: runtime error: division by zero\n    #0 0x1 in f batch_norm.c:3\n"
    finding = MemoryFinding(kind="division by zero", line=3, function="f")
    assert memory_finding(words, "batch_norm.c", found) == finding
    assert memory_finding("all is well", "batch_norm.c", found) is None


@pytest.mark.parametrize(
    ("file", "edition"),
    [("correct_sequential.c", "groups"), ("correct_helpers.c", "groups"), ("correct_spatial.c", "spatial")],
)
def test_the_edition_is_recognized(file, edition):
    assert edition_of(functions((BANK / file).read_text())) == edition


def test_functions_are_found_past_comments_strings_and_initializers():
    source = (
        "/* int hidden(void) { } */\nstruct s { int a; };\nint table[] = {1, 2};\nint f(int a,\n      int b) {\n"
        '    puts("} not here {");\n    if (a) { return b; }\n    return 0;\n}\nint g(void);\n'
    )
    found = functions(source)
    assert list(found) == ["f"]
    assert (found["f"].first, found["f"].last, found["f"].parameters) == (4, 9, 2)


def test_what_a_submission_prints_does_not_reach_the_replies(tmp_path):
    once = "    matrix v = make_matrix(1, groups);\n    int n = x.cols / groups;\n    int i, j;"
    source = changed(
        "correct_sequential.c", (once, once + '\n    printf("BNUW v = %f\\n", v.data[0]); fflush(stdout);')
    )
    assert verdicts(diagnosed(source, tmp_path)) == {}


def test_a_call_after_a_crash_is_answered(tmp_path):
    result = compiled((BANK / "segfault.c").read_bytes(), tmp_path)
    (case, *_) = stage_cases()

    def arguments(stage):
        return tuple(case.arrays[name] for name in ARGUMENTS[stage])

    with open_stages(result) as call:
        assert call("delta_variance", case.groups, arguments("delta_variance")).status == "crashed"
        again = call("variance", case.groups, arguments("variance"))
    assert again.status == "returned"
    assert again.results[0] == pytest.approx(case.arrays["v"], rel=1e-5)


def test_a_reply_that_is_none_is_no_result(tmp_path):
    """A function that ends the process with exit status 0 has not answered."""
    once = "    matrix dm = make_matrix(1, groups);\n    int n = d.cols / groups;"
    found = diagnosed(changed("correct_sequential.c", (once, "    exit(0);\n" + once)), tmp_path)
    assert found["delta_mean"].verdict is StageVerdict.CRASHED


@pytest.mark.parametrize("stage", list(RIGHT))
def test_every_known_mistake_differs_from_the_right_formula(stage):
    def values(parameters):
        return [(case, evaluate(stage, case, parameters)[0]) for case in stage_cases()]

    for mistake in mistakes(stage, EPS, inside=1e-3, outside=1e-5):
        with_mistake = values({**RIGHT[stage], mistake.parameter: mistake.value})
        assert not misfit(stage, RIGHT[stage], with_mistake) <= SEQUENTIAL.limit, mistake.sentence
    assert misfit(stage, RIGHT[stage], values(RIGHT[stage])) == 0


def test_nan_is_never_right():
    from bnbench.diagnose.uw import diagnose_uw

    def call(stage, _groups, arguments):
        if stage == "forward":
            return Answer(status="missing")
        case = next(c for c in stage_cases() if np.array_equal(c.arrays[ARGUMENTS[stage][0]], arguments[0]))
        shape = evaluate(stage, case, RIGHT[stage])[0].shape
        return Answer(status="returned", results=(np.full(shape, np.nan, np.float32),), arguments=arguments)

    assert all(diagnosis.verdict != "right" for diagnosis in diagnose_uw(call))
