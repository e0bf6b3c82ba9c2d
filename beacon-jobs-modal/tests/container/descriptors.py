"""Prints what the package says of its messages, enums and calls, as JSON."""

import json

from google.protobuf import any_pb2
from modal_proto import api_pb2

messages, enums = {}, {}


def take_enum(enum):
    enums[enum.full_name] = {value.name: value.number for value in enum.values}


def take(message):
    fields = {}
    for field in message.fields:
        to = field.message_type or field.enum_type
        oneof = field.containing_oneof
        # An `optional` field is the only one of a oneof with the same name.
        optional = oneof is not None and oneof.name == "_" + field.name
        fields[field.name] = {
            "number": field.number,
            "type": field.type,
            "to": to.full_name if to else "",
            "repeated": field.is_repeated,
            "optional": optional,
            "oneof": oneof.name if oneof is not None and not optional else "",
        }
    messages[message.full_name] = fields
    for nested in message.nested_types:
        take(nested)
    for enum in message.enum_types:
        take_enum(enum)


for message in api_pb2.DESCRIPTOR.message_types_by_name.values():
    take(message)
for enum in api_pb2.DESCRIPTOR.enum_types_by_name.values():
    take_enum(enum)
take(any_pb2.Any.DESCRIPTOR)
calls = {
    method.name: {
        "request": method.input_type.full_name,
        "reply": method.output_type.full_name,
        "streams": [method.client_streaming, method.server_streaming],
    }
    for method in api_pb2.DESCRIPTOR.services_by_name["ModalClient"].methods
}
print(json.dumps({"messages": messages, "enums": enums, "calls": calls}))
