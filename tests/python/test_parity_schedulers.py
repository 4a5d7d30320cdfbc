"""Every sampler against its diffusers class, for every option and prediction type that it reads. `run_scheduler` drives
the program's schedulers without a model: a fixed random output per turn, plus a share of the input. The oracle is the
diffusers class, driven as its pipelines do. A few runs through the program itself are at the end."""

import inspect
import itertools
import json
import os
import re
import subprocess

import oracle
import pytest
import torch
from checkpoints import (
    TINY,
    edit_json,
    make_checkpoint,
    random_unet,
    save_checkpoint,
    with_learned_variance,
    write_json,
)
from conftest import PROGRAM
from oracle import LATENTS_BAR, assert_latents_equal
from safetensors.torch import load_file, save_file

RUN_SCHEDULER = os.environ.get("DIFFAPPLE_RUN_SCHEDULER", PROGRAM.parent / "tests" / "run_scheduler")
CLASSES = oracle.SCHEDULER_CLASSES
OUTPUTS = 8  # random model outputs, used in turn
ALL_STEPS = (1, 2, 3, 7, 8, 14, 15, 16, 25, 50)
SOME_STEPS = (2, 7, 15, 24)

SD = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
EPSILON, SAMPLE, V = (dict(prediction_type=name) for name in ("epsilon", "sample", "v_prediction"))
SPACINGS = [dict(timestep_spacing=name) for name in ("linspace", "leading", "trailing")]
OFFSET = dict(timestep_spacing="leading", steps_offset=1)
ZERO_SNR = dict(rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="v_prediction")
BETAS = [
    SD,
    dict(beta_schedule="squaredcos_cap_v2"),
    dict(trained_betas=[0.0001 + 0.0004 * (i / 1000) ** 0.5 for i in range(1000)]),
    dict(num_train_timesteps=300, beta_end=0.05),
]
THRESHOLDING = [
    dict(thresholding=True, sample_max_value=1.5),
    dict(thresholding=True, dynamic_thresholding_ratio=0.7, sample_max_value=3.0),
]
CLIPPING = [dict(clip_sample=True), dict(clip_sample=True, clip_sample_range=0.4), dict(clip_sample=False)]
SIGMAS = [dict(use_karras_sigmas=True), dict(use_exponential_sigmas=True), dict(use_beta_sigmas=True)]
SIGMA_LIMITS = dict(sigma_min=0.05, sigma_max=9.0)
SIGMA_MIN = dict(final_sigmas_type="sigma_min")
# As in the repository of Stable Diffusion v1.5.
STABLE_DIFFUSION = dict(
    SD, _class_name="PNDMScheduler", num_train_timesteps=1000, set_alpha_to_one=False, skip_prk_steps=True,
    steps_offset=1, trained_betas=None, clip_sample=False,
)  # fmt: skip
UNKNOWN = dict(_class_name="DDPMScheduler", clip_sample=False, solver_order=2, trained_betas=None, skip_prk_steps=True)


def merged(*groups):
    """Each combination of one dict from every group."""
    return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*groups)]


def spaced(options):
    """Sigmas other than by timesteps, with and without limits of their own."""
    return merged(SIGMAS, [{}, SIGMA_LIMITS], options)


SOLVERS = merged([dict(solver_order=order) for order in (1, 2, 3)], [dict(solver_type=t) for t in ("midpoint", "heun")])
SIGMA_OPTIONS = [*SPACINGS, OFFSET, *BETAS, UNKNOWN]
SOLVER_OPTIONS = [
    *BETAS, *THRESHOLDING, SIGMA_MIN, UNKNOWN,
    *merged(SIGMAS, [SD, dict(SD, **SIGMA_MIN, solver_order=1), dict(SD, **SIGMA_LIMITS, **SIGMA_MIN)]),
]  # fmt: skip
OPTIONS = {
    "ddpm": [*SPACINGS, OFFSET, *BETAS, *CLIPPING, *THRESHOLDING, UNKNOWN],
    "ddim": [
        *SPACINGS, OFFSET, *BETAS, *CLIPPING, *THRESHOLDING, ZERO_SNR, UNKNOWN,
        dict(set_alpha_to_one=False), dict(SD, clip_sample=False, set_alpha_to_one=False, steps_offset=1),
    ],
    "pndm": [
        *merged([dict(skip_prk_steps=True), dict(skip_prk_steps=False)], [*SPACINGS, OFFSET, *BETAS]),
        dict(SD, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1), dict(set_alpha_to_one=True), UNKNOWN,
    ],
    "euler": [
        *SIGMA_OPTIONS, ZERO_SNR, *spaced([SD]), *merged(SIGMAS, SPACINGS), SIGMA_MIN, dict(SIGMA_MIN, **OFFSET),
        dict(interpolation_type="log_linear"), dict(interpolation_type="log_linear", use_karras_sigmas=True),
        dict(SD, timestep_type="continuous", use_karras_sigmas=True), dict(timestep_type="continuous"),
    ],
    "euler-a": [*SIGMA_OPTIONS, ZERO_SNR],
    "heun": [*SIGMA_OPTIONS, *spaced([SD]), *CLIPPING, dict(beta_schedule="exp")],
    "lms": [*SIGMA_OPTIONS, *spaced([SD])],
    "lcm": [
        *BETAS[:3], *CLIPPING, *THRESHOLDING, UNKNOWN, ZERO_SNR, dict(original_inference_steps=100),
        dict(timestep_scaling=3.0), dict(set_alpha_to_one=False), dict(num_train_timesteps=300),
    ],
    "dpmsolver++": [
        *SPACINGS, OFFSET, ZERO_SNR, *SOLVER_OPTIONS,
        dict(SD, use_lu_lambdas=True), dict(beta_schedule="squaredcos_cap_v2", use_karras_sigmas=True),
        dict(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1),
        dict(SD, lambda_min_clipped=-2.0, timestep_spacing="trailing"),
        *merged(SOLVERS, [dict(SD), dict(SD, lower_order_final=False), dict(SD, euler_at_final=True, **SIGMA_MIN)]),
        *merged(SOLVERS, [dict(SD, algorithm_type="sde-dpmsolver++"), dict(SD, algorithm_type="dpmsolver", **SIGMA_MIN)]),
        *merged(SOLVERS[:4], [dict(SD, algorithm_type="sde-dpmsolver", **SIGMA_MIN)]),
        dict(SD, algorithm_type="dpmsolver", thresholding=True, sample_max_value=1.5, **SIGMA_MIN),
        dict(SD, algorithm_type="deis", solver_type="logrho", **SIGMA_MIN), dict(SD, lower_order_final=False, **SIGMA_MIN),
        dict(SD, solver_order=3, lower_order_final=False, **SIGMA_MIN),
    ],
    "dpmsolver++-single": [
        *SOLVER_OPTIONS, dict(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1),
        *merged(SOLVERS, [dict(SD), dict(SD, lower_order_final=True), dict(SD, **SIGMA_MIN)]),
        *merged(SOLVERS, [dict(SD, algorithm_type="sde-dpmsolver++"), dict(SD, algorithm_type="dpmsolver", **SIGMA_MIN)]),
        dict(SD, algorithm_type="deis", solver_type="bh2", **SIGMA_MIN),
    ],
    "unipc": [
        *SPACINGS, OFFSET, ZERO_SNR, *SOLVER_OPTIONS[:-6], *merged(SIGMAS, [SD, dict(SD, **SIGMA_LIMITS)]),
        *merged([dict(solver_order=order) for order in (1, 2, 3, 4)], [dict(solver_type="bh1", **SIGMA_MIN), SD, SIGMA_MIN]),
        dict(solver_type="midpoint"), dict(disable_corrector=[0, 3]), dict(lower_order_final=False, **SIGMA_MIN),
        *merged([dict(solver_order=order, predict_x0=False) for order in (1, 2, 3)], [dict(SD, **SIGMA_MIN)]),
    ],
}  # fmt: skip
PREDICTIONS = {
    "pndm": [EPSILON, V],
    "euler-a": [EPSILON, V],
    "euler": [EPSILON, SAMPLE, V, dict(prediction_type="original_sample")],
}


def predictions(name):
    return PREDICTIONS.get(name, [EPSILON, SAMPLE, V])


def case(config, steps, strength=1.0, eta=0.0, seed=3):
    return dict(config=config, steps=steps, strength=strength, eta=eta, seed=seed)


def option_cases(name):
    """All steps with the plain class, some with each option, and each prediction type throughout."""
    for prediction, steps in itertools.product(predictions(name), ALL_STEPS):
        yield case({**STABLE_DIFFUSION, **prediction}, steps)
        yield case(prediction, steps)
    for option, prediction in itertools.product(OPTIONS[name], predictions(name)):
        for steps in SOME_STEPS:
            yield case({**prediction, **option}, steps)


def strength_cases(name):
    for option, prediction in itertools.product(OPTIONS[name][:6] + OPTIONS[name][-2:], predictions(name)[:2]):
        for steps, strength in ((20, 0.8), (20, 0.5), (7, 0.5), (9, 0.3), (50, 0.55), (4, 0.25), (13, 0.9999)):
            yield case({**SD, **prediction, **option}, steps, strength)


def start_tensors():
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(2, 3, 8, 8, generator=generator)  # noqa: E731
    return {"noise": draw(), "original": draw().tanh(), **{f"output.{i}": draw() for i in range(OUTPUTS)}}


def run_program(name, cases, tensors, folder):
    """JSON and tensors of each case."""
    write_json(folder / "cases.json", {"cases": [dict(case, scheduler=name) for case in cases]})
    save_file(tensors, folder / "tensors.safetensors")
    arguments = [folder / "cases.json", folder / "tensors.safetensors", folder / "results.safetensors"]
    process = subprocess.run([RUN_SCHEDULER, *arguments], capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    results = load_file(folder / "results.safetensors")
    for k, line in enumerate(process.stdout.splitlines()):
        report = json.loads(line)
        yield report, {key: results[f"{k}.{key}"] for key in ("sample", "noised", "draw") if f"{k}.{key}" in results}


@torch.inference_mode()
def run_oracle(name, case, tensors):
    scheduler = CLASSES[name].from_config(case["config"])
    scheduler.set_timesteps(case["steps"])
    steps = case["steps"]
    begin = max(steps - min(int(steps * case["strength"]), steps), 0) * scheduler.order
    timesteps = scheduler.timesteps[begin:]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    noise, original = tensors["noise"], tensors["original"]
    generator = torch.Generator().manual_seed(case["seed"])
    available = dict(eta=case["eta"], generator=generator)
    extra = {k: v for k, v in available.items() if k in inspect.signature(scheduler.step).parameters}
    noised = [scheduler.add_noise(original, noise, timesteps[:1])]
    sample = noised[0] if case["strength"] < 1 else noise * scheduler.init_noise_sigma
    for turn, t in enumerate(timesteps):
        if turn == len(timesteps) - 1:
            noised.append(scheduler.add_noise(original, noise, t[None]))
        model_input = scheduler.scale_model_input(sample, t)
        output = tensors[f"output.{turn % OUTPUTS}"] + 0.3 * model_input
        sample = scheduler.step(output, t, sample, **extra).prev_sample
    draw = torch.randn(4, generator=generator)
    return timesteps, scheduler.init_noise_sigma, dict(sample=sample, noised=torch.stack(noised), draw=draw)


def difference(report, ours, timesteps, init_noise_sigma, expected):
    """What is wrong with a case, or nothing."""
    if "error" in report:
        return report["error"]
    whole = not timesteps.is_floating_point()
    wanted = [float(t) for t in timesteps]
    if len(report["timesteps"]) != len(wanted):
        return f"{len(report['timesteps'])} timesteps, not {len(wanted)}"
    for a, b in zip(report["timesteps"], wanted, strict=True):
        if abs(a - b) > (0 if whole else 1e-3):
            return f"timestep {a}, not {b}"
    if abs(report["init_noise_sigma"] / float(init_noise_sigma) - 1) > 1e-6:
        return f"init_noise_sigma {report['init_noise_sigma']}, not {init_noise_sigma}"
    for key, tensor in expected.items():
        if not torch.isfinite(tensor).all():
            return f"the oracle's {key} is not finite: this case shows nothing"
        relative = ((ours[key] - tensor).abs().max() / tensor.abs().max()).item()
        if not relative <= LATENTS_BAR:
            return f"{key} is {relative:.1e} of its largest value away"
    return None


def assert_parity(name, cases, folder):
    cases, tensors = list(cases), start_tensors()
    wrong = []
    for case, (report, ours) in zip(cases, run_program(name, cases, tensors, folder), strict=True):
        problem = difference(report, ours, *run_oracle(name, case, tensors))
        if problem:
            wrong.append(f"{case}: {problem}")
    assert not wrong, f"{len(wrong)} of {len(cases)} cases:\n" + "\n".join(wrong[:40])


def possible(name, case):
    """Leaves out what neither program makes; test_both_refuse has those."""
    steps, config = case["steps"], case["config"]
    if name == "pndm" and not config.get("skip_prk_steps", False):
        return steps >= 4
    return True


@pytest.mark.parametrize("name", CLASSES)
def test_options(name, tmp_path):
    assert_parity(name, (case for case in option_cases(name) if possible(name, case)), tmp_path)


@pytest.mark.parametrize("name", CLASSES)
def test_strength(name, tmp_path):
    assert_parity(name, (case for case in strength_cases(name) if possible(name, case)), tmp_path)


def test_eta(tmp_path):
    cases = [
        case({**config, **prediction}, steps, eta=eta, strength=strength)
        for config in ({}, SD, dict(clip_sample=False, set_alpha_to_one=False), SPACINGS[2])
        for prediction in predictions("ddim")
        for eta in (0.3, 1.0)
        for steps, strength in ((1, 1.0), (7, 1.0), (20, 0.6))
    ]
    assert_parity("ddim", cases, tmp_path)


def test_eta_changes_nothing_elsewhere(tmp_path):
    for name in CLASSES.keys() - {"ddim"}:
        assert_parity(name, [case(SD, 5, eta=0.5)], tmp_path)


def test_the_test_sees_a_wrong_option(tmp_path):
    """The solver's order."""
    tensors = start_tensors()
    ours = next(iter(run_program("dpmsolver++", [case(dict(SD, solver_order=3), 20)], tensors, tmp_path)))
    assert difference(*ours, *run_oracle("dpmsolver++", case(SD, 20), tensors)).startswith("sample is")


REFUSED = [
    # scheduler, config, request, exit code, word of the message
    *[(name, {}, dict(steps=steps), 2, "--steps") for name in CLASSES for steps in (0, -1, 1001)],
    *[(name, {}, dict(strength=value), 2, "--strength") for name in CLASSES for value in (0.0, -1.0, 1.5, 0.01)],
    *[(name, {}, dict(eta=value), 2, "--eta") for name in CLASSES for value in (-0.1, 1.1)],
    *[(name, dict(prediction_type="flow_prediction"), {}, 1, "prediction_type") for name in CLASSES],
    *[(name, dict(trained_betas=[0.1, 0.2]), {}, 1, "trained_betas") for name in CLASSES],
    *[(name, dict(num_train_timesteps=0), {}, 1, "num_train_timesteps") for name in CLASSES],
    *[(name, dict(use_flow_sigmas=True), {}, 1, "use_flow_sigmas") for name in ("dpmsolver++", "unipc", "euler")],
    *[
        (name, dict(options), {}, 1, word)
        for name in ("euler", "heun", "lms", "dpmsolver++", "dpmsolver++-single", "unipc")
        for options, word in (
            (dict(use_karras_sigmas=True, use_beta_sigmas=True), "only one"),
            (dict(use_exponential_sigmas=True, sigma_min=2.0, sigma_max=1.0), "sigma_min"),
            (dict(use_exponential_sigmas=True, sigma_min=-1.0), "sigma_min"),
            (dict(use_karras_sigmas="yes"), "use_karras_sigmas"),
            (dict(trained_betas=[0.0] * 1000), "betas"),
            (dict(num_train_timesteps=100000), "betas"),
        )
    ],
    *[
        (name, options, {}, 1, word)
        for name in ("dpmsolver++", "dpmsolver++-single")
        for options, word in (
            (dict(solver_order=0), "solver_order"),
            (dict(solver_order=-2), "solver_order"),
            (dict(solver_order=2.5), "solver_order"),
            (dict(solver_type="magic"), "solver_type"),
            (dict(algorithm_type="magic"), "algorithm_type"),
            (dict(algorithm_type="dpmsolver"), "final_sigmas_type"),
            (dict(final_sigmas_type="one"), "final_sigmas_type"),
            (dict(lambda_min_clipped=1000.0), "lambda_min_clipped"),
            (dict(dynamic_thresholding_ratio=1.5), "dynamic_thresholding_ratio"),
        )
    ],
    ("dpmsolver++", dict(algorithm_type="sde-dpmsolver", solver_order=3, **SIGMA_MIN), {}, 1, "solver_order"),
    ("dpmsolver++", dict(timestep_spacing="leading"), dict(steps=1000), 2, "--steps"),
    ("unipc", dict(solver_order=0), {}, 1, "solver_order"),
    ("unipc", dict(predict_x0=False), {}, 1, "final_sigmas_type"),
    ("unipc", dict(use_dynamic_shifting=True), {}, 1, "use_dynamic_shifting"),
    ("euler-a", SAMPLE, {}, 1, "prediction_type"),
    ("pndm", SAMPLE, {}, 1, "prediction_type"),
    ("pndm", {}, dict(steps=3), 2, "--steps 3"),
    ("lcm", {}, dict(steps=51), 2, "original_inference_steps"),
    ("lcm", dict(original_inference_steps=2000), {}, 1, "original_inference_steps"),
    ("heun", dict(clip_sample_range=-1.0), {}, 1, "clip_sample_range"),
    ("euler", dict(steps_offset=-1, timestep_spacing="leading"), {}, 1, "steps_offset"),
    ("euler", dict(steps_offset=900, timestep_spacing="leading"), {}, 2, "steps_offset"),
]


@pytest.mark.parametrize("name", CLASSES)
def test_refused(name, tmp_path):
    refused = [row[1:] for row in REFUSED if row[0] == name]
    cases = [{**case(config, 20), **request} for config, request, _, _ in refused]
    reports = [report for report, _ in run_program(name, cases, start_tensors(), tmp_path)]
    for (config, request, code, word), report in zip(refused, reports, strict=True):
        assert word in report.get("error", "no error") and report["code"] == code, (config, request, report)
        assert len(report["error"].splitlines()) == 1


def final_latents(diffapple, checkpoint, *options, steps=6):
    saved = diffapple.folder / "latents.safetensors"
    settings = ["--seed", 0, "--steps", steps, "--batch-size", 2, "--device", "cpu", "--save-latents", saved, "--force"]
    diffapple.ok("ddpm", "--model", checkpoint, *settings, *options)
    return load_file(saved)["latents"]


@pytest.mark.parametrize("name", CLASSES)
def test_named_on_the_command_line(diffapple, name):
    """A swap carries over the keys that the checkpoint's file holds."""
    unet = random_unet(TINY)
    checkpoint = save_checkpoint(diffapple.folder / "model", unet)
    config = {"_class_name": "DDPMScheduler", **SD, "clip_sample": False, "prediction_type": "v_prediction"}
    write_json(checkpoint / "scheduler" / "scheduler_config.json", config)
    swapped = CLASSES[name].from_config(oracle.load_scheduler(checkpoint).config)
    expected = oracle.sample(unet, swapped, 0, 6, 2).latents
    assert_latents_equal(final_latents(diffapple, checkpoint, "--scheduler", name), expected)


@pytest.mark.parametrize("name", CLASSES)
def test_the_checkpoints_own(diffapple, name):
    """The file as diffusers writes it, -Infinity of the DPM-Solvers included."""
    unet = random_unet(TINY)
    checkpoint = save_checkpoint(diffapple.folder / "model", unet)
    scheduler = CLASSES[name](**SD, prediction_type="v_prediction")
    scheduler.save_pretrained(checkpoint / "scheduler")
    edit_json(checkpoint / "model_index.json", scheduler=["diffusers", CLASSES[name].__name__])
    assert_latents_equal(final_latents(diffapple, checkpoint), oracle.sample(unet, scheduler, 0, 6, 2).latents)


def test_a_list_in_one_run(diffapple):
    checkpoint = make_checkpoint(diffapple.folder / "model", TINY)
    arguments = ["--model", checkpoint, "--steps", "4,5", "--scheduler", ",".join(CLASSES), "--json"]
    reports = diffapple.ok("ddpm", *arguments).reports
    assert [report["scheduler"] for report in reports] == [name for name in CLASSES for _ in range(2)]
    assert len({report["path"] for report in reports}) == 2 * len(CLASSES)


def test_help_lists_the_names(diffapple):
    text = " ".join(diffapple.ok("ddpm", "--help").out.split())
    (names,) = re.findall(r"Samplers: (.*?) \[", text)
    assert set(names.split(", ")) == CLASSES.keys()


def test_one_line_for_a_learned_variance(diffapple):
    unet = with_learned_variance(TINY)
    checkpoint = save_checkpoint(diffapple.folder / "model", unet, variance_type="learned")
    for name in ("ddim", "euler", "unipc"):
        result = diffapple("ddpm", "--model", checkpoint, "--scheduler", name, "--steps", 2, "--quiet")
        assert result.code == 1 and len(result.err.splitlines()) == 1 and "variance_type" in result.err
    expected = oracle.sample(unet, CLASSES["dpmsolver++"].from_config(oracle.load_scheduler(checkpoint).config), 0, 6, 2)
    assert_latents_equal(final_latents(diffapple, checkpoint, "--scheduler", "dpmsolver++"), expected.latents)
