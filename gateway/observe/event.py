"""What every event starts with, and what one that used tokens says of them."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Ms = float


class Event(BaseModel):
    """What every event starts with."""

    model_config = ConfigDict(extra="forbid", strict=True)

    event: str = Field(description="name of the event, `noun.verb`")
    ts: AwareDatetime = Field(strict=False, description="when it was written: RFC 3339, UTC, microseconds")
    process: int = Field(description="id of the process that wrote it")
    seq: int = Field(
        ge=1, description="number of the event in its process; a gap is an event that could not be written"
    )


class Spent(Event):
    """Tokens by class, and what they cost."""

    input_tokens: int = Field(ge=0, description="cached ones included [gen_ai.usage.input_tokens]")
    cached_tokens: int = Field(ge=0, description="[gen_ai.usage.cache_read.input_tokens]")
    output_tokens: int = Field(ge=0, description="reasoning included [gen_ai.usage.output_tokens]")
    reasoning_tokens: int = Field(ge=0, description="[gen_ai.usage.reasoning.output_tokens]")
    cache_write_tokens: int = Field(ge=0, description="of the input [gen_ai.usage.cache_write.input_tokens]")
    audio_tokens: int = Field(ge=0, description="of input and output")
    service_tier: str = Field(description="tier that answered, as the upstream names it; prices may depend on it")
    estimated_tokens: bool = Field(description="counted from the text, because the upstream said nothing")
    input_usd: float = Field(ge=0, description="input that was not cached")
    cached_usd: float = Field(ge=0, description="input read from the provider's cache")
    output_usd: float = Field(ge=0, description="output that was not reasoning")
    reasoning_usd: float = Field(ge=0, description="output that was reasoning")
    cache_write_usd: float = Field(ge=0, description="input written into the provider's cache")
    audio_usd: float = Field(ge=0, description="input and output that was audio")
    extra_usd: float = Field(ge=0, description="what the operator prices beside tokens")
    gpu_usd: float = Field(ge=0, description="time on a GPU priced by the hour")
    cost_usd: float = Field(ge=0, description="sum of the above")
    token_usd: float = Field(ge=0, description="the sum, per token in and out")
    price: str = Field(description="whose prices: `config`, `litellm`, `config+litellm`, `own`, `none`")
