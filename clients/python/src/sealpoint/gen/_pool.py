"""The descriptor pool that all generated modules of this package register in, and the builder they use.

The official `qdrant_client` registers the same message names in protobuf's default pool, where a name may exist once in
a process. A pool of our own lets both be imported together. protobuf's own builder cannot serve: its pure-Python
implementation registers every class in the default pool whatever pool the file came from.

A consequence: a `google.protobuf.Timestamp` inside our messages is the class `Timestamp` below, which has the usual
methods (FromDatetime, ToJsonString, ...) but is not `timestamp_pb2.Timestamp`. Give such fields a `datetime` when a
message is constructed, set them in place (`message.field.FromDatetime(...)`), or use the class below.
"""

from google.protobuf import descriptor_pool, message, message_factory, reflection, timestamp_pb2
from google.protobuf.internal import enum_type_wrapper

POOL = descriptor_pool.DescriptorPool()
POOL.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)

Timestamp = message_factory.GetMessageClass(POOL.FindMessageTypeByName("google.protobuf.Timestamp"))


def build(file, module_name, module):
    """Fills a generated module with the enums and message classes of its file."""
    assert not file.extensions_by_name, f"{file.name}: extensions are not supported here"
    for name, enum in file.enum_types_by_name.items():
        module["_" + name.upper()] = enum
        module[name] = enum_type_wrapper.EnumTypeWrapper(enum)
        for value in enum.values:
            module[value.name] = value.number
    for name, service in file.services_by_name.items():
        module["_" + name.upper()] = service
    for name, descriptor in file.message_types_by_name.items():
        module[name] = _build_message(module_name, descriptor, "")


def _build_message(module_name, descriptor, prefix):
    names = {"DESCRIPTOR": descriptor, "__module__": module_name, "__qualname__": prefix + descriptor.name}
    for name, nested in descriptor.nested_types_by_name.items():
        names[name] = _build_message(module_name, nested, prefix + descriptor.name + ".")
    return reflection.GeneratedProtocolMessageType(descriptor.name, (message.Message,), names)
