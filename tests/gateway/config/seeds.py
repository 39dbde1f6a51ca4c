"""The examples that people bring with them: LiteLLM's documentation of its vLLM route, and the fork's."""

LITELLM = """\
model_list:
  - model_name: "my-vllm-model"
    litellm_params:
      model: hosted_vllm/vllm-1.72
      api_base: https://my-vllm-server.com
"""
FORK = LITELLM.replace("litellm_params", "dheera_ai_params")


def row(name: str = "m", served: str = "hosted_vllm/s", base: str = "http://a:1", **params: object) -> str:
    """One row of model_list as YAML; join several."""
    more = "".join(f", {key}: {value}" for key, value in params.items())
    return f"  - {{model_name: {name}, litellm_params: {{model: {served}, api_base: '{base}'{more}}}}}\n"


def rows(*lines: str) -> str:
    """A file with these rows."""
    return "model_list:\n" + "".join(lines)
