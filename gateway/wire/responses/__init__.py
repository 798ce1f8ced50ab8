"""`/v1/responses`, OpenAI's newer wire, translated: requests into the chat API's shape, in which they are judged and
asked, and chat answers and chunks back. Nothing is stored. Source: the types of OpenAI's Python SDK 2.54.

    request     what is asked, field by field
    items       the items a conversation is made of
    answer      a whole answer
    events      a streamed one
"""

from gateway.wire.responses.answer import from_chat
from gateway.wire.responses.events import Events
from gateway.wire.responses.request import ENDPOINT, read, to_chat

__all__ = ["ENDPOINT", "Events", "from_chat", "read", "to_chat"]
