"""What the trainings of the demo checkpoints share: the loop, averaged weights, states to go on from, saving."""
import argparse
import copy
import math
import os
import shutil
import time
from pathlib import Path

import torch

from tokenizer import write_clip_files


def argument_parser(description, steps, batch_size, lr):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pipeline (averaged weights, fp16)")
    parser.add_argument("--state", type=Path, help="file that --resume continues from [OUT.state.pt]")
    parser.add_argument("--dataset", type=Path, help="file to keep the drawn and encoded pictures in")
    parser.add_argument("--resume", action="store_true", help="go on from --state, or from the weights in --out")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--minutes", type=float, default=math.inf, help="end after these, if that is before --steps")
    parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--warmup", type=int, default=200, help="steps over which the learning rate rises")
    parser.add_argument("--ema", type=float, default=0.998, help="decay of the averaged weights")
    parser.add_argument("--snapshot-minutes", type=float, default=4)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def argument_parser_of_descendant(description, pictures):
    """Of what begins with the weights of the text-to-image model, and draws so many pictures."""
    parser = argument_parser(description, steps=3000, batch_size=16, lr=1e-3)
    parser.add_argument("--base", type=Path, required=True, help="folder of train_text_to_image.py")
    parser.add_argument("--pictures", type=int, default=pictures)
    return parser


def state_file(args):
    return args.state or args.out.with_name(args.out.name + ".state.pt")


def goes_on_from_weights(args):
    """Whether there is no state to go on from, but a pipeline in --out."""
    return args.resume and not state_file(args).exists()


def learning_rate(step, fraction, args):
    """Linear warm-up, then a cosine over the training, of which `fraction` is done, to a hundredth of the peak."""
    cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fraction))
    return args.lr * min((step + 1) / args.warmup, 1.0) * cosine


def even_timesteps(count):
    """One timestep of 1000 from each of `count` equal ranges: a steadier gradient than independent ones."""
    return ((torch.arange(count) + torch.rand(count)) / count * 1000).long()


def save_pipeline(pipeline, out, vocabulary=None):
    """Writes a diffusers pipeline in fp16 beside `out`, then moves each file into place whole.

    `vocabulary` is the folder of the tokenizers' vocab.json and merges.txt.
    """
    out = Path(out)
    temporary = out.with_name(out.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    for component in getattr(pipeline, "components", {"": pipeline}).values():
        if isinstance(component, torch.nn.Module):
            component.half()
    pipeline.save_pretrained(temporary)
    for config in temporary.rglob("config.json"):  # where the weights came from is a place on this machine
        lines = config.read_text().splitlines(keepends=True)
        config.write_text("".join(line for line in lines if '"_name_or_path"' not in line))
    for name, component in getattr(pipeline, "components", {}).items():
        if name.startswith("tokenizer"):
            write_clip_files(component, vocabulary, temporary / name)
    for file in sorted(p for p in temporary.rglob("*") if p.is_file()):
        target = out / file.relative_to(temporary)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)
    shutil.rmtree(temporary)


def train(model, args, loss_of_batch, save, parameters=None):
    """Trains `model` by `loss_of_batch(model)`, which draws its batch itself.

    `save(ema)` is called with the averaged weights now and then, and at the end. Returns them.
    """
    parameters = list(parameters or model.parameters())
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    step, mean_loss, seconds_before = 0, None, 0.0
    if args.resume and not goes_on_from_weights(args):
        state = torch.load(state_file(args), weights_only=True)
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        if "optimizer" in state:
            optimizer.load_state_dict(state["optimizer"])
        step, mean_loss, seconds_before = state["step"], state["loss"], state["seconds"]
    torch.manual_seed(args.seed + step)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, step {step}", flush=True)

    begin = time.monotonic()

    def seconds():
        return seconds_before + time.monotonic() - begin

    def fraction_done():
        return min(max(step / args.steps, seconds() / 60 / args.minutes), 1.0)

    def snapshot():
        save(ema)
        temporary = state_file(args).with_name(state_file(args).name + ".tmp")
        torch.save({"model": model.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict(),
                    "step": step, "loss": mean_loss, "seconds": seconds()}, temporary)
        os.replace(temporary, state_file(args))

    last_snapshot = last_log = time.monotonic()
    while fraction_done() < 1:
        loss = loss_of_batch(model)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, fraction_done(), args)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        decay = min(args.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
        mean_loss = loss.item() if mean_loss is None else 0.99 * mean_loss + 0.01 * loss.item()
        if step % 100 == 0:
            now = time.monotonic()
            print(f"step {step}  loss {mean_loss:.4f}  {(now - last_log) / 100:.2f} s/step  {seconds() / 60:.0f} min", flush=True)
            last_log = now
        if time.monotonic() - last_snapshot > args.snapshot_minutes * 60:
            snapshot()
            last_snapshot = time.monotonic()
    snapshot()
    return ema
