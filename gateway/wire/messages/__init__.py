"""`/v1/messages`, Anthropic's wire, translated: requests into the chat API's shape, in which they are judged and asked,
and chat answers and chunks back. Source: the types of Anthropic's Python SDK 2.12 and its API reference.

    request     what is asked, field by field
    content     the blocks a turn is made of
    answer      a whole answer, and the envelope of an error
    events      a streamed one
"""

from gateway.wire.messages.answer import envelope, from_chat
from gateway.wire.messages.events import Events
from gateway.wire.messages.request import ENDPOINT, read, to_chat

__all__ = ["ENDPOINT", "Events", "envelope", "from_chat", "read", "to_chat"]
