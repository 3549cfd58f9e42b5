"""Runs ticket.yaml. Without keys of your own the models are a stand-in, which says so in every answer.

With OPENAI_API_KEY and ANTHROPIC_API_KEY set, and `--real`, the real models are asked, and cost money.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

from execlog.kinds.workflows import Endpoint, ExecutionEngine, WorkflowExecution, read_workflow
from execlog.kinds.workflows.models.standin import Asked, StandIn
from execlog.ledger import Ledger

DOCUMENT = Path(__file__).with_name("ticket.yaml")
TICKET = "The shop has been answering 500 to every order since nine o'clock."


def pretend(asked: Asked) -> str:
    """What the stand-in says."""
    if "JSON" in asked.system:
        return json.dumps({"topic": "outage", "urgency": 9 if "500" in asked.prompt else 2})
    return f"[stand-in, no model] Thank you for telling us. {asked.prompt.splitlines()[-1]}"


def tell(topic: str) -> str:
    """Tell somebody; here, whoever reads the terminal."""
    print(f"urgent: {topic}")
    return topic


def main(*, real: bool = False, text: str = TICKET) -> WorkflowExecution:
    """The execution, once it is over."""
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open())
        endpoints = {"default": Endpoint(), "anthropic": Endpoint(api="anthropic")}
        if not real:
            model = stack.enter_context(StandIn(pretend))
            endpoints = {
                "default": Endpoint(base_url=model.url),
                "anthropic": Endpoint(api="anthropic", base_url=model.url),
            }
        engine = ExecutionEngine(ledger, endpoints=endpoints, tools={"tell": tell})
        return engine.run(read_workflow(DOCUMENT), {"text": text}, project_id="support", triggered_by="example")


if __name__ == "__main__":
    done = main(real="--real" in sys.argv)
    print(json.dumps(done.output, indent=2))
    print(f"{done.status}: {done.token_usage.total if done.token_usage else 0} tokens, cost {done.cost_usd} US dollars")
