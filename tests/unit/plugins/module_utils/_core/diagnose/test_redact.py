# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of more than twenty kinds, planted into what a support bundle holds; what is none stays readable."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.redact import HIDDEN, redact

# Put together here so that nobody's scanner takes them for real ones.
BODY = "a1B2c3D4e5F6g7H8"
PLANTED = {
    "hub token": (f"huggingface_hub: using hf_{BODY}", f"hf_{BODY}"),
    "OpenAI-like key": (f"client sent sk-{BODY}", f"sk-{BODY}"),
    "payment key": ("sk_" + f"live_{BODY}", BODY),
    "GitHub token": ("cloning with gh" + f"p_{BODY}{BODY}", BODY),
    "GitHub fine-grained token": ("github_" + f"pat_{BODY}_{BODY}", BODY),
    "GitLab token": ("gl" + f"pat-{BODY}", BODY),
    "AWS access key": ("AK" + "IAABCDEFGHIJKLMNOP was used", "ABCDEFGHIJKLMNOP"),
    "Google key": ("AI" + f"za{BODY}{BODY}", BODY),
    "Slack token": ("xo" + f"xb-{BODY}", BODY),
    "npm token": ("np" + f"m_{BODY}{BODY}", BODY),
    "PyPI token": ("py" + f"pi-{BODY}{BODY}", BODY),
    "Docker token": ("dckr_" + f"pat_{BODY}", BODY),
    "NGC key": ("nv" + f"api-{BODY}", BODY),
    "JWT": (f"got eyJhbGciOi{BODY}.{BODY}.{BODY} back", BODY),
    "bearer": (f"curl -H 'Authorization: Bearer {BODY}'", BODY),
    "bearer alone": (f"Bearer {BODY}{BODY}", BODY),
    "basic": (f"Proxy-Authorization: Basic {BODY}==", BODY),
    "header": (f"X-API-Key: {BODY}", BODY),
    "cookie": (f"Set-Cookie: session={BODY}; Path=/", BODY),
    "address": (f"http://user:{BODY}@proxy.example.com:3128", BODY),
    "flag": (f"vllm serve --api-key {BODY} --port 8000", BODY),
    "flag with =": (f"--hf-token={BODY}", BODY),
    "variable": (f"HF_TOKEN='{BODY}'", BODY),
    "variable of ours": (f"VLLM_API_KEY={BODY}", BODY),
    "JSON": (f'{{"auths": {{"reg.example.com": {{"auth": "{BODY}"}}}}}}', BODY),
    "YAML": (f"db_password: {BODY}", BODY),
    "another's variable": (f"AWS_SECRET_ACCESS_KEY={BODY}", BODY),
    "private key": (f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n{BODY}\n-----END RSA PRIVATE KEY-----\nafter", BODY),
    "private key cut off": (f"-----BEGIN PRIVATE KEY-----\n{BODY}", BODY),
}


@pytest.mark.parametrize(("text", "secret"), PLANTED.values(), ids=PLANTED)
def test_what_has_the_form_of_a_secret_goes(text: str, secret: str) -> None:
    found = redact(f"before\n{text}\nbehind")
    assert secret not in found and HIDDEN in found
    assert found.startswith("before\n")


def test_what_stands_in_our_files_goes_wherever_it_occurs() -> None:
    found = redact("a quaint-looking value, and quaint-looking-too", ["quaint-looking", "quaint-looking-too", "a", ""])
    assert found == f"a {HIDDEN} value, and {HIDDEN}"


@pytest.mark.parametrize(
    "line",
    [
        "INFO 11-24 03:01:35 [core.py:1] GPU KV cache size: 123,456 tokens, max_num_batched_tokens=2048, tokenizer='Qwen/Qwen2.5-3B'",
        "NVRM: Xid (PCI:0000:01:00): 79, pid=4711, GPU has fallen off the bus.",
        "KeyError: 'layers.0.weight'",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "http://127.0.0.1:8001/v1/models and https://huggingface.co/Qwen/Qwen2.5-3B-Instruct",
        '  "name": "qwen", "total_bytes": 8443, "author": 1',
    ],
)
def test_what_tells_the_cause_stays(line: str) -> None:
    assert redact(line).replace(HIDDEN, "1") == line
