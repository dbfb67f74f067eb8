"""Objects whose attributes are compile-time constants inside kernels: numbers, and numba functions to call.

A kernel made for one such object is specialised for it: `fmt.integers(p, 0, 7)` calls that object's function.
"""

from numba import types
from numba.core.datamodel import models, register_default
from numba.core.imputils import lower_constant
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.core.typing.typeof import typeof
from numba.extending import lower_getattr_generic, typeof_impl


class Described:
    """Base class. `name` tells objects of one class apart; `__reduce__` must rebuild the object from it."""

    name: str


class DescribedType(types.Type):
    """The numba type of one Described object."""

    def __init__(self, value: Described):
        self.value = value
        super().__init__(name=f"{type(value).__name__}({value.name})")


register_default(DescribedType)(models.OpaqueModel)


@typeof_impl.register(Described)
def _typeof(value, context):
    return DescribedType(value)


@lower_constant(DescribedType)
def _constant(context, builder, type, value):
    return context.get_dummy_value()


@infer_getattr
class _Attributes(AttributeTemplate):
    key = DescribedType

    def generic_resolve(self, type, name):
        return typeof(getattr(type.value, name))


@lower_getattr_generic(DescribedType)
def _attribute(context, builder, type, value, name):
    constant = getattr(type.value, name)
    return context.get_constant_generic(builder, typeof(constant), constant)
